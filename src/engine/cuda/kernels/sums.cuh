// From pairs' gradients to energies, forces and virials, in float64: one warp for each atom.
#pragma once
#include "common.cuh"
#include "lists.cuh"

struct Sums {
  /// Å. With a list from the caller: three for each of its atoms and ghosts; else for each row.
  const double *positions;
  /// The caller's number of each row's atom; null: that of the row.
  const uint32_t *atoms;
  /// Without a list from the caller: the structure of each row, and its cell.
  const uint32_t *structures;
  const Grid *grids;
  const Pair *pairs;
  const uint32_t *starts, *counts;
  /// Kind of each row.
  const uint32_t *kinds;
  /// ∂E/∂d · step and ∂E/∂u of each pair, in as many parts as messages had.
  const float *gradients;
  size_t capacity;
  uint32_t parts, active;
  /// Whether virials are summed over the atoms of each block of threads, for which there is shared
  /// memory.
  uint32_t total, reserved;
  /// Intervals of the filter tables in one Å, what is added to d where u is formed (Å), and share
  /// of the repulsion that is a pair's core.
  double per_length, softening, core;
  /// Of each kind: what is added to its energy (eV), Z, Z to the power 0.23, and the radius of its
  /// repulsion (Å), as in model::repulsion; 0: it does not repel.
  const double *references, *charges, *charge_powers, *radii;
  /// Of each kind: between which two bounded energies an atom is not far outside the training data
  /// (eV), and its part of the distance below which it overlaps with another atom (Å).
  const double *ordinary, *reaches;
  /// Of each row: the network's energy (eV).
  const double *network;
  /// Of each of the caller's atoms: energy (eV), three forces (eV/Å), nine virials (eV), these of
  /// each block of threads instead where only their total is asked for.
  double *energies, *forces, *virials;
  /// 1 if an atom is far outside the training data; 1 if two atoms of structures without a list may
  /// overlap.
  uint32_t *outside, *near;
};

struct Repulsion {
  double energy, slope;
};

/// The potential of Ziegler, Biersack and Littmark, ended by the polynomial envelope of power 6:
/// the formulas of model::repulsion.
__device__ inline Repulsion repulsion(double charges, double powers, double reach, double d) {
  const double factors[4] = {0.18175, 0.50986, 0.28022, 0.02817};
  const double decays[4] = {3.19980, 0.94229, 0.40290, 0.20162};
  const double length = 0.46850 / powers;
  double screening = 0, screening_slope = 0;
  for (int k = 0; k < 4; ++k) {
    const double term = factors[k] * exp(-decays[k] * d / length);
    screening += term;
    screening_slope -= decays[k] / length * term;
  }
  const double x = d / reach, x5 = x * x * x * x * x;
  const double envelope = 1 - x5 * x * (28 - 48 * x + 21 * x * x);
  const double envelope_slope = -168 * x5 * (1 - x) * (1 - x) / reach;
  const double coulomb = 14.399645 * charges / d;
  return {coulomb * screening * envelope,
          coulomb * ((screening_slope - screening / d) * envelope + screening * envelope_slope)};
}

__device__ inline double over_warp(double value) {
  for (int step = 16; step > 0; step /= 2)
    value += __shfl_xor_sync(WARP, value, step);
  return value;
}

/// Energy, force and virial of one atom; all lanes get the virial.
template <bool LISTED>
__device__ inline void sums_of_atom(const Sums &p, uint32_t row, double *virial) {
  const uint32_t lane = threadIdx.x % 32;
  const size_t atom = p.atoms ? p.atoms[row] : row;
  const double *here = p.positions + 3 * (LISTED ? atom : row);
  const uint32_t kind = p.kinds[row], start = p.starts[row], count = p.counts[row];
  double energy = 0, force[3] = {};
  for (uint32_t k = lane; k < count; k += 32) {
    const Pair &pair = p.pairs[start + k];
    const double *there = p.positions + 3 * (size_t)(LISTED ? pair.position : pair.row);
    double r[3] = {there[0] - here[0], there[1] - here[1], there[2] - here[2]};
    if (!LISTED) {
      const Grid &grid = p.grids[p.structures[row]];
      int shift[3];
      unpack(pair.position, shift);
      for (int a = 0; a < 3; ++a)
        r[a] += translation(grid, shift, a);
    }
    const double d = sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
    if (!LISTED && d < p.reaches[kind] + p.reaches[pair.kind])
      note(p.near);
    double bar[4] = {};
    for (uint32_t part = 0; part < p.parts; ++part)
      for (int q = 0; q < 4; ++q)
        bar[q] += p.gradients[(part * p.capacity + start + k) * 4 + q];
    // ∂E/∂r of the pair, both directions together: as pair::gradient.
    const double soft = d + p.softening;
    const double along = r[0] * bar[1] + r[1] * bar[2] + r[2] * bar[3];
    const double slope = seen(p.radii[kind], p.radii[pair.kind], p.core, d).slope;
    double radial = (bar[0] * slope * p.per_length - along / (soft * soft)) / d;
    const double reach = p.radii[kind] + p.radii[pair.kind];
    if (d < reach && p.radii[kind] > 0 && p.radii[pair.kind] > 0) {
      const Repulsion found =
          repulsion(p.charges[kind] * p.charges[pair.kind],
                    p.charge_powers[kind] + p.charge_powers[pair.kind], reach, d);
      energy += 0.5 * found.energy;
      radial += found.slope / d;
    }
    for (int a = 0; a < 3; ++a)
      force[a] += radial * r[a] + bar[1 + a] / soft;
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b)
        virial[3 * a + b] -= 0.5 * r[a] * (radial * r[b] + bar[1 + b] / soft);
  }
  energy = over_warp(energy);
  for (int a = 0; a < 3; ++a)
    force[a] = over_warp(force[a]);
  for (int q = 0; q < 9; ++q)
    virial[q] = over_warp(virial[q]);
  if (lane == 0) {
    const double network = p.network[row], *ordinary = p.ordinary + 2 * kind;
    if (network < ordinary[0] || network > ordinary[1])
      note(p.outside);
    p.energies[atom] = network + p.references[kind] + energy;
    for (int a = 0; a < 3; ++a)
      p.forces[3 * atom + a] = force[a];
    if (!p.total)
      for (int q = 0; q < 9; ++q)
        p.virials[9 * atom + q] = virial[q];
  }
}

template <bool LISTED> __device__ inline void sums_of(const Sums &p) {
  const uint32_t warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const uint32_t row = blockIdx.x * warps + warp;
  double virial[9] = {};
  if (row < p.active)
    sums_of_atom<LISTED>(p, row, virial);
  if (!p.total)
    return;
  SHARED_MEMORY(shared);
  double *const all = reinterpret_cast<double *>(shared);
  if (threadIdx.x % 32 == 0)
    for (int q = 0; q < 9; ++q)
      all[9 * warp + q] = virial[q];
  __syncthreads();
  if (threadIdx.x >= 9)
    return;
  double sum = 0;
  for (uint32_t w = 0; w < warps; ++w)
    sum += all[9 * w + threadIdx.x];
  p.virials[9 * (size_t)blockIdx.x + threadIdx.x] = sum;
}

KERNEL(sums, Sums, 128) { sums_of<true>(p); }
KERNEL(sums_of_structures, Sums, 128) { sums_of<false>(p); }
