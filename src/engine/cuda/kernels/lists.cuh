// Pairs of structures that come without a list: atoms are wrapped into their cell, sorted into bins
// at least a cutoff wide and compared with the bins around them, images included, as in
// src/neighbors. Small structures are one bin, in the order of their atoms.
//
// Atomic counters decide who comes first in a bin; `arrange` then puts each bin's atoms into the
// order of their numbers, so that nothing depends on them.
#pragma once
#include "common.cuh"
#include "pairs.cuh"

/// A structure's cell and bins.
struct Grid {
  /// Lattice vectors (Å), one behind the other; inverse[k] · r is the coordinate along vector k.
  double vectors[9], inverse[9];
  /// Where the first bin begins, and width of a bin, in units of the coordinates.
  double origin[3], width[3];
  /// Bins along each vector, how many bins away a neighbor can be, and whether the vector repeats.
  int count[3], around[3], periodic[3];
  /// Its slots. Bins share them where there are more bins than slots.
  uint32_t first_slot, slots, reserved;
};

/// Atoms may lie this many cells away from the cell, as in neighbors::bins.
constexpr double FARTHEST = 268435456;

__device__ inline double coordinate(const Grid &grid, int k, const double *r) {
  return grid.inverse[3 * k] * r[0] + grid.inverse[3 * k + 1] * r[1] +
         grid.inverse[3 * k + 2] * r[2];
}

/// What a shift adds to component `x` of a position (Å). That of the opposite shift is its
/// negative, to the last bit. Sums are written out so that every kernel rounds them alike, whatever
/// compiles it.
__device__ inline double translation(const Grid &grid, const int *shift, int x) {
  const double first = shift[0] * grid.vectors[x];
  return fma((double)shift[2], grid.vectors[6 + x],
             fma((double)shift[1], grid.vectors[3 + x], first));
}

/// A shift as one word: ten bits for each vector.
constexpr int MOST_SHIFT = 511;

__device__ inline uint32_t packed(const int *shift) {
  return (uint32_t)(shift[0] + MOST_SHIFT) | (uint32_t)(shift[1] + MOST_SHIFT) << 10 |
         (uint32_t)(shift[2] + MOST_SHIFT) << 20;
}

__device__ inline void unpack(uint32_t word, int *shift) {
  for (int k = 0; k < 3; ++k)
    shift[k] = (int)(word >> 10 * k & 1023) - MOST_SHIFT;
}

/// Whether several bins may have one slot.
__device__ inline bool shares_slots(const Grid &grid) {
  return (uint64_t)grid.count[0] * grid.count[1] * grid.count[2] > grid.slots;
}

/// As neighbors::bins.
__device__ inline uint32_t slot_of(const Grid &grid, const int *bin) {
  const uint64_t index =
      bin[0] + (uint64_t)grid.count[0] * (bin[1] + (uint64_t)grid.count[1] * bin[2]);
  if (!shares_slots(grid))
    return grid.first_slot + (uint32_t)index;
  // Fibonacci hashing: neighboring bins spread over the table.
  const uint64_t spread = index * 0x9E3779B97F4A7C15ull >> 32;
  return grid.first_slot + (uint32_t)(spread * grid.slots >> 32);
}

struct Wrap {
  /// Å, three for each atom.
  const double *given;
  /// Structure of each atom.
  const uint32_t *structures;
  const Grid *grids;
  /// Out, of each atom: position inside the cell (Å), bin (3), slot, and how many came to its slot
  /// before it.
  double *wrapped;
  int *bins;
  uint32_t *slots, *ranks;
  /// Atoms of each slot; zeros at first.
  uint32_t *counts;
  /// 1 if an atom is nowhere, or too far away: from its cell, or farther than this from the origin
  /// (Å).
  uint32_t *bad;
  double farthest;
  uint32_t atoms, reserved;
};

KERNEL(wrap, Wrap, 256) {
  const uint32_t atom = blockIdx.x * blockDim.x + threadIdx.x;
  if (atom >= p.atoms)
    return;
  const Grid &grid = p.grids[p.structures[atom]];
  const double *given = p.given + 3 * (size_t)atom;
  bool bad = false;
  int shift[3] = {};
  for (int k = 0; k < 3; ++k)
    bad |= !(fabs(given[k]) <= p.farthest);
  for (int k = 0; k < 3; ++k) {
    const double whole = grid.periodic[k] ? floor(coordinate(grid, k, given)) : 0;
    bad |= !(fabs(whole) <= FARTHEST);
    shift[k] = bad ? 0 : (int)whole;
  }
  if (bad)
    note(p.bad);
  double inside[3];
  for (int k = 0; k < 3; ++k)
    p.wrapped[3 * (size_t)atom + k] = inside[k] = bad ? 0 : given[k] - translation(grid, shift, k);
  int bin[3];
  for (int k = 0; k < 3; ++k) {
    const double place = (coordinate(grid, k, inside) - grid.origin[k]) / grid.width[k];
    bin[k] = (int)fmin(fmax(place, 0.0), grid.count[k] - 1.0);
    p.bins[3 * (size_t)atom + k] = bin[k];
  }
  // Nobody looks for the pairs of bad atoms: in one slot together, many would cost as much as all
  // their pairs.
  const uint32_t slot = bad ? grid.first_slot + atom % grid.slots : slot_of(grid, bin);
  p.slots[atom] = slot;
  p.ranks[atom] = atomicAdd(p.counts + slot, 1u);
}

struct Scan {
  const uint32_t *counts;
  /// Out: sums of all counts before each; one more at the end.
  uint32_t *starts;
  /// Out: the sum of all; null: nobody asks.
  uint64_t *total;
  uint32_t count, reserved;
};

/// One block of threads: each sums a run of counts.
LARGE_KERNEL(scan, Scan, 512) {
  SHARED_MEMORY(shared);
  uint64_t *sums = reinterpret_cast<uint64_t *>(shared);
  const uint32_t thread = threadIdx.x, threads = blockDim.x;
  const uint32_t run = (p.count + threads - 1) / threads;
  const uint32_t from = min(thread * run, p.count), to = min(from + run, p.count);
  uint64_t sum = 0;
  for (uint32_t k = from; k < to; ++k)
    sum += p.counts[k];
  sums[thread] = sum;
  __syncthreads();
  for (uint32_t step = 1; step < threads; step *= 2) {
    const uint64_t before = thread >= step ? sums[thread - step] : 0;
    __syncthreads();
    sums[thread] += before;
    __syncthreads();
  }
  uint64_t place = sums[thread] - sum;
  for (uint32_t k = from; k < to; ++k) {
    p.starts[k] = (uint32_t)place;
    place += p.counts[k];
  }
  if (thread == threads - 1) {
    p.starts[p.count] = (uint32_t)place;
    if (p.total)
      *p.total = place;
  }
}

struct Scatter {
  /// Of each atom: its slot, and which of the slot it was first counted as.
  const uint32_t *slots, *ranks;
  /// Of each slot, where its members begin.
  const uint32_t *starts;
  uint32_t *members;
  uint32_t atoms, reserved;
};

KERNEL(scatter, Scatter, 256) {
  const uint32_t atom = blockIdx.x * blockDim.x + threadIdx.x;
  if (atom < p.atoms)
    p.members[p.starts[p.slots[atom]] + p.ranks[atom]] = atom;
}

struct Arrange {
  /// The slot of each atom; where the members of each slot begin; the atoms of each slot, in any
  /// order.
  const uint32_t *slots, *starts, *members;
  /// Position of each atom inside the cell (Å), three values.
  const double *wrapped;
  const int *bins;
  const uint32_t *structures, *kinds;
  /// Out, of each row: the atom, and what is known of it.
  uint32_t *row_atoms;
  double *row_positions;
  int *row_bins;
  uint32_t *row_structures, *row_kinds;
  uint32_t atoms, reserved;
};

KERNEL(arrange, Arrange, 256) {
  const uint32_t atom = blockIdx.x * blockDim.x + threadIdx.x;
  if (atom >= p.atoms)
    return;
  const uint32_t slot = p.slots[atom], start = p.starts[slot], end = p.starts[slot + 1];
  uint32_t row = start;
  for (uint32_t k = start; k < end; ++k)
    row += p.members[k] < atom;
  p.row_atoms[row] = atom;
  for (size_t k = 0; k < 3; ++k) {
    p.row_positions[3 * (size_t)row + k] = p.wrapped[3 * (size_t)atom + k];
    p.row_bins[3 * (size_t)row + k] = p.bins[3 * (size_t)atom + k];
  }
  p.row_structures[row] = p.structures[atom];
  p.row_kinds[row] = p.kinds[atom];
}

struct ListPairs {
  /// Inside the cell (Å), three for each row.
  const double *positions;
  /// Structure of each row.
  const uint32_t *structures;
  /// Bin of each row; null: each structure is one bin of few atoms.
  const int *bins;
  /// Kind of each row.
  const uint32_t *kinds;
  const Grid *grids;
  /// Rows of slot s: slots[s] … slots[s + 1] − 1.
  const uint32_t *slots;
  /// Where the pairs of each row go; one more at the end.
  const uint32_t *starts;
  Pair *pairs;
  /// Pairs of each row.
  uint32_t *counts;
  /// 1 if an atom is nowhere: then no pairs are needed.
  uint32_t *bad;
  /// Pairs of all rows, and room for them: where there are more, none are written and counts are
  /// zero. Null: the room is enough.
  const uint64_t *total;
  uint64_t capacity;
  /// Of each kind: radius of its repulsion (Å).
  const double *radii;
  /// Å, Å, intervals of the filter tables in one Å, share of the repulsion that is a pair's core,
  /// and how far from the origin atoms may be (Å).
  double cutoff, softening, per_length, core, farthest;
  uint32_t intervals, active;
};

/// Cells of one bin with at most so many atoms are searched atom by atom instead of image by image:
/// so even the images of a single atom keep a warp's lanes busy. Atoms times images fit 32 bits.
constexpr uint32_t FEW = 4096;

/// What a row has found so far, in a warp.
struct Row {
  const double *here;
  uint32_t row, lane, start, found;
  /// Where the next row's pairs begin.
  uint32_t end;
};

/// Each lane asks for an atom and its image, or for none. Both directions of a pair are compared on
/// their own, yet always alike: r_j + S − r_i and r_i − S − r_j are each other's negatives to the
/// last bit.
template <bool WRITE>
__device__ inline void consider(const ListPairs &p, const Grid &grid, Row &row, bool within,
                                uint32_t other, const int *shift) {
  double r[3] = {}, d = 0;
  if (within) {
    const double *there = p.positions + 3 * (size_t)other;
    for (int k = 0; k < 3; ++k)
      r[k] = (there[k] - row.here[k]) + translation(grid, shift, k);
    d = sqrt(fma(r[2], r[2], fma(r[1], r[1], r[0] * r[0])));
    within = d <= p.cutoff && (other != row.row || shift[0] || shift[1] || shift[2]);
  }
  const uint32_t mask = __ballot_sync(WARP, within);
  const uint32_t place = row.start + row.found + __popc(mask & ((1u << row.lane) - 1));
  // Pairs were counted by the same sums: no more are found, and none would be written over the next
  // row's.
  if (WRITE && within && place < row.end) {
    const uint32_t kind = p.kinds[other];
    const double distance = seen(p.radii[p.kinds[row.row]], p.radii[kind], p.core, d).distance;
    Pair pair = pair_at(r[0], r[1], r[2], d, distance, p.softening, p.per_length, p.intervals);
    pair.row = other;
    pair.kind = kind;
    pair.position = packed(shift);
    p.pairs[place] = pair;
  }
  row.found += __popc(mask);
}

/// All atoms of a cell of one bin.
template <bool WRITE>
__device__ inline void search_cell(const ListPairs &p, const Grid &grid, Row &row) {
  const uint32_t first = p.slots[grid.first_slot], atoms = p.slots[grid.first_slot + 1] - first;
  const uint32_t along_y = 2 * grid.around[1] + 1, along_z = 2 * grid.around[2] + 1;
  const uint32_t images = (2 * grid.around[0] + 1) * along_y * along_z;
  for (uint32_t begin = 0; begin < atoms * images; begin += 32) {
    const uint32_t candidate = begin + row.lane, image = candidate % images;
    const int shift[3] = {(int)(image / (along_y * along_z)) - grid.around[0],
                          (int)(image / along_z % along_y) - grid.around[1],
                          (int)(image % along_z) - grid.around[2]};
    consider<WRITE>(p, grid, row, candidate < atoms * images, first + candidate / images, shift);
  }
}

/// The bins around an atom.
template <bool WRITE>
__device__ inline void search_bins(const ListPairs &p, const Grid &grid, Row &row) {
  const bool shared = shares_slots(grid);
  int from[3], to[3];
  for (int k = 0; k < 3; ++k) {
    const int center = p.bins[3 * (size_t)row.row + k];
    from[k] = center - grid.around[k];
    to[k] = center + grid.around[k];
    if (!grid.periodic[k]) {
      from[k] = max(from[k], 0);
      to[k] = min(to[k], grid.count[k] - 1);
    }
  }
  for (int z = from[2]; z <= to[2]; ++z)
    for (int y = from[1]; y <= to[1]; ++y)
      for (int x = from[0]; x <= to[0]; ++x) {
        const int unbounded[3] = {x, y, z};
        int shift[3], bin[3];
        for (int k = 0; k < 3; ++k) {
          const int count = grid.count[k], at = unbounded[k];
          shift[k] = at >= 0 ? at / count : -((count - 1 - at) / count);
          bin[k] = at - shift[k] * count;
        }
        const uint32_t slot = slot_of(grid, bin), end = p.slots[slot + 1];
        for (uint32_t begin = p.slots[slot]; begin < end; begin += 32) {
          const uint32_t other = begin + row.lane;
          bool candidate = other < end;
          if (candidate && shared) {
            const int *its = p.bins + 3 * (size_t)other;
            candidate = its[0] == bin[0] && its[1] == bin[1] && its[2] == bin[2];
          }
          consider<WRITE>(p, grid, row, candidate, other, shift);
        }
      }
}

/// One warp for each atom.
template <bool WRITE> __device__ inline void list_pairs(const ListPairs &p) {
  Row row;
  row.lane = threadIdx.x % 32;
  row.row = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
  if (row.row >= p.active)
    return;
  // Whether kernels before this one have seen all positions: lanes that ask while others set the
  // flag would differ.
  const bool seen = p.bins || (WRITE && p.total);
  if ((seen && *p.bad) || (WRITE && p.total && *p.total > p.capacity)) {
    if (row.lane == 0)
      p.counts[row.row] = 0;
    return;
  }
  row.here = p.positions + 3 * (size_t)row.row;
  row.start = WRITE ? p.starts[row.row] : 0;
  row.end = WRITE ? p.starts[row.row + 1] : 0;
  row.found = 0;
  if (!seen && row.lane < 3 && !(fabs(row.here[row.lane]) <= p.farthest))
    note(p.bad);
  const Grid &grid = p.grids[p.structures[row.row]];
  const bool one_bin = grid.count[0] == 1 && grid.count[1] == 1 && grid.count[2] == 1;
  if (one_bin && p.slots[grid.first_slot + 1] - p.slots[grid.first_slot] <= FEW)
    search_cell<WRITE>(p, grid, row);
  else
    search_bins<WRITE>(p, grid, row);
  if (row.lane == 0)
    p.counts[row.row] = WRITE ? min(row.found, row.end - row.start) : row.found;
}

KERNEL(count_pairs, ListPairs, 128) { list_pairs<false>(p); }
KERNEL(write_pairs, ListPairs, 128) { list_pairs<true>(p); }
