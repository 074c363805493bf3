// Feature rows between this engine's records and the caller's order of atoms, on their way to
// ghosts that are atoms of other ranks. Outside, a row is `width` runs of `channels` values.
#pragma once
#include "common.cuh"

struct Halo {
  float *records;
  /// Rows in the caller's order.
  float *outbox;
  /// Pairs: index of an atom in the caller's order, its row here.
  const uint32_t *atoms;
  uint32_t count, rows;
  int width, channels;
};

template <class Body> __device__ inline void each_value(const Halo &p, Body body) {
  const uint32_t values = p.width * p.channels;
  for (size_t k = (size_t)blockIdx.x * blockDim.x + threadIdx.x; k < (size_t)p.count * values;
       k += (size_t)gridDim.x * blockDim.x) {
    const uint32_t *atom = p.atoms + 2 * (k / values);
    const uint32_t value = k % values, run = value / p.channels, channel = value % p.channels;
    float *here = p.records + record(channel / SLICE, atom[1], p.rows, p.width) + run * SLICE +
                  channel % SLICE;
    body(*here, p.outbox[(size_t)atom[0] * values + value]);
  }
}

KERNEL(pack_rows, Halo, 256) {
  each_value(p, [](float &here, float &outside) { outside = here; });
}

KERNEL(unpack_rows, Halo, 256) {
  each_value(p, [](float &here, float &outside) { here = outside; });
}
