// Pairs within the cutoff at this step, from a list that reaches farther.
#pragma once
#include "common.cuh"

struct FindPairs {
  /// Å, three for each of the caller's atoms and ghosts.
  const double *positions;
  /// The caller's number of each row's atom.
  const uint32_t *atoms;
  /// entries[starts[row]] … are the caller's numbers of the atoms that the row's atom may be near
  /// to.
  const uint32_t *starts, *entries;
  /// Feature row and kind of each of the caller's atoms and ghosts.
  const uint32_t *places;
  /// Room for a pair in place of each entry; those found come first.
  Pair *pairs;
  /// Pairs found of each row.
  uint32_t *counts;
  /// 1 if a coordinate is not a finite number.
  uint32_t *bad;
  /// Of each kind: radius of its repulsion (Å).
  const double *radii;
  /// Å, Å, intervals of the filter tables in one Å, share of the repulsion that is a pair's core.
  double cutoff, softening, per_length, core;
  uint32_t intervals, active;
  /// How many coordinates `positions` holds.
  uint64_t coordinates;
};

/// A pair at (x, y, z) from here, d away, which the filters see at another distance. Atoms at one
/// place have no direction: what comes of them is not a number, and the host then finds out why.
__device__ inline Pair pair_at(double x, double y, double z, double d, double distance,
                               double softening, double per_length, uint32_t intervals) {
  const double place = distance * per_length;
  const uint32_t whole = (uint32_t)place;
  const double soft = d < COINCIDENT ? nan("") : 1 / (d + softening);
  Pair pair;
  pair.interval = whole < intervals ? whole : intervals - 1;
  pair.t = (float)(place - pair.interval);
  pair.u[0] = (float)(x * soft);
  pair.u[1] = (float)(y * soft);
  pair.u[2] = (float)(z * soft);
  return pair;
}

/// One warp for each atom.
KERNEL(find_pairs, FindPairs, 128) {
  const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  for (size_t k = thread; k < p.coordinates; k += (size_t)gridDim.x * blockDim.x)
    if (!(fabs(p.positions[k]) <= LARGEST))
      note(p.bad);
  const uint32_t lane = threadIdx.x % 32;
  const uint32_t row = thread / 32;
  if (row >= p.active)
    return;
  const double *here = p.positions + 3 * (size_t)p.atoms[row];
  const double radius = p.radii[p.places[2 * (size_t)p.atoms[row] + 1]];
  const uint32_t start = p.starts[row], end = p.starts[row + 1];
  uint32_t found = 0;
  for (uint32_t first = start; first < end; first += 32) {
    const uint32_t entry = first + lane;
    uint32_t position = 0;
    double x = 0, y = 0, z = 0, d = 0;
    bool within = entry < end;
    if (within) {
      position = p.entries[entry];
      const double *there = p.positions + 3 * (size_t)position;
      x = there[0] - here[0];
      y = there[1] - here[1];
      z = there[2] - here[2];
      d = sqrt(x * x + y * y + z * z);
      within = d <= p.cutoff;
    }
    const uint32_t mask = __ballot_sync(WARP, within);
    if (within) {
      const uint32_t kind = p.places[2 * (size_t)position + 1];
      const double distance = seen(radius, p.radii[kind], p.core, d).distance;
      Pair pair = pair_at(x, y, z, d, distance, p.softening, p.per_length, p.intervals);
      pair.row = p.places[2 * (size_t)position];
      pair.kind = kind;
      pair.position = position;
      p.pairs[start + found + __popc(mask & ((1u << lane) - 1))] = pair;
    }
    found += __popc(mask);
  }
  if (lane == 0)
    p.counts[row] = found;
}
