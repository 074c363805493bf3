// Pairs within the cutoff at this step, from a list that reaches farther.
#pragma once
#include "common.cuh"

struct FindPairs {
  /// Å, three for each position: atoms in row order, then ghosts.
  const double *positions;
  /// entries[starts[row]] … are the positions that atom `row` may be near to.
  const uint32_t *starts, *entries;
  /// Of each position: its feature row, and its kind.
  const uint32_t *rows, *kinds;
  /// Room for a pair in place of each entry; those found come first.
  Pair *pairs;
  /// Pairs found of each atom.
  uint32_t *counts;
  /// Å, Å, 1/Å.
  double cutoff, softening, intervals_per_length;
  uint32_t intervals, active;
};

/// One warp for each atom.
KERNEL(find_pairs, FindPairs, 128) {
  const uint32_t lane = threadIdx.x % 32;
  const uint32_t row = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
  if (row >= p.active)
    return;
  const double *here = p.positions + 3 * (size_t)row;
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
      // Atoms at the same place have no direction: what comes of them is not a number.
      within = d <= p.cutoff;
    }
    const uint32_t mask = __ballot_sync(WARP, within);
    if (within) {
      const double place = d * p.intervals_per_length;
      const uint32_t whole = (uint32_t)place;
      const uint32_t interval = whole < p.intervals ? whole : p.intervals - 1;
      const double soft = 1 / (d + p.softening);
      Pair pair;
      pair.row = p.rows[position];
      pair.kind = p.kinds[position];
      pair.interval = interval;
      pair.t = (float)(place - interval);
      pair.u[0] = (float)(x * soft);
      pair.u[1] = (float)(y * soft);
      pair.u[2] = (float)(z * soft);
      pair.position = position;
      p.pairs[start + found + __popc(mask & ((1u << lane) - 1))] = pair;
    }
    found += __popc(mask);
  }
  if (lane == 0)
    p.counts[row] = found;
}
