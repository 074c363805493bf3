// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What the kernels need of CUDA, as C++: tests run the very source that GPUs run. Threads of a
// block are fibers of one thread of the processor, which change places where they wait for each
// other; blocks run on all processors. With MLFF_SHIM_THREADS they are real threads, for
// ThreadSanitizer.
//
// Shared memory begins as NaN. A barrier that not all threads reach, and a warp operation without
// all lanes, end the program with a message.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define MLFF_SHIM 1
#define __device__
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) alignas(bytes)
#define SHARED_MEMORY(name) unsigned char *const name = shim::self().shared

/// Defines a kernel, and notes it under its name in MODULE.
#define KERNEL(name, Arguments, THREADS)                                                           \
  static void name(Arguments p);                                                                   \
  static const shim::Entry entry_of_##name(                                                        \
      MODULE, #name, THREADS, sizeof(Arguments),                                                   \
      [](const void *p) { name(*static_cast<const Arguments *>(p)); });                            \
  static void name(Arguments p)

#define LARGE_KERNEL KERNEL

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace shim {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

/// A thread of a kernel, as it sees itself.
struct Self {
  Index thread, block, threads, blocks;
  unsigned char *shared = nullptr;
};

const Self &self();

/// Waits for all threads of the block.
void wait_for_block();

/// Every lane's value, once all lanes of the warp are here.
const uint64_t *of_warp(unsigned mask, uint64_t value);

struct Entry {
  Entry(const char *module, const char *name, unsigned threads, size_t size,
        void (*run)(const void *));
};

template <class T> T exchanged(unsigned mask, T value, unsigned lane) {
  uint64_t bits = 0;
  static_assert(sizeof(T) <= sizeof bits);
  std::memcpy(&bits, &value, sizeof value);
  bits = of_warp(mask, bits)[lane];
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

} // namespace shim

#define threadIdx (shim::self().thread)
#define blockIdx (shim::self().block)
#define blockDim (shim::self().threads)
#define gridDim (shim::self().blocks)

inline void __syncthreads() {
#ifndef MLFF_SHIM_WITHOUT_BARRIERS // what a test of the tests defines
  shim::wait_for_block();
#endif
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, unsigned with) {
  return shim::exchanged(mask, value, threadIdx.x % 32 ^ with);
}

inline unsigned __ballot_sync(unsigned mask, bool vote) {
  const uint64_t *votes = shim::of_warp(mask, vote);
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    bits |= static_cast<unsigned>(votes[lane]) << lane;
  return bits;
}

inline unsigned atomicExch(unsigned *at, unsigned value) {
  return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);
}

inline unsigned atomicAdd(unsigned *at, unsigned value) {
  return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
