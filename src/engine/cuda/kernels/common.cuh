// What all kernels share: layouts, small vectors, the network's activation.
//
// The same source is compiled by NVRTC for GPUs and, with `shim.h` in front, as C++ for tests
// without one. Kernels keep to what the shim can run: one struct of arguments, dynamic shared
// memory, __syncthreads, full-warp shuffles and ballots, atomic operations on integers whose order
// leaves no trace.
//
// Features lie in records: for each slice of 16 channels, for each row (atom), K vectors of 16
// floats.
#pragma once

#ifndef MLFF_SHIM
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#define SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]
/// A kernel that takes one struct, and is run with blocks of at most so many threads.
#define KERNEL(name, Arguments, THREADS) extern "C" __global__ void name(Arguments p)
/// One whose blocks are so large that the compiler must share out the registers.
#define LARGE_KERNEL(name, Arguments, THREADS)                                                     \
  extern "C" __global__ void __launch_bounds__(THREADS) name(Arguments p)
#endif

/// Channels of a record's vectors.
constexpr int SLICE = 16;

/// Vectors of a record of scalars and vectors (s, v_x, v_y, v_z).
constexpr int STATE = 4;

constexpr uint32_t WARP = 0xffffffffu;

/// Two channels, which one lane computes.
struct Two {
  float x, y;
};

__device__ inline Two two(float value) { return {value, value}; }
__device__ inline Two operator+(Two a, Two b) { return {a.x + b.x, a.y + b.y}; }
__device__ inline Two operator-(Two a, Two b) { return {a.x - b.x, a.y - b.y}; }
__device__ inline Two operator*(Two a, Two b) { return {a.x * b.x, a.y * b.y}; }
__device__ inline Two operator*(float a, Two b) { return {a * b.x, a * b.y}; }

/// a b + c
__device__ inline Two fma(Two a, Two b, Two c) {
  return {fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y)};
}
__device__ inline Two fma(float a, Two b, Two c) { return {fmaf(a, b.x, c.x), fmaf(a, b.y, c.y)}; }

__device__ inline Two load(const float *from) {
  const float2 loaded = *reinterpret_cast<const float2 *>(from);
  return {loaded.x, loaded.y};
}

__device__ inline void store(float *to, Two value) {
  *reinterpret_cast<float2 *>(to) = {value.x, value.y};
}

/// Three axes of two channels.
struct Axes {
  Two x, y, z;
};

__device__ inline Axes no_axes() { return {two(0), two(0), two(0)}; }
__device__ inline Two dot(Axes a, Axes b) { return fma(a.z, b.z, fma(a.y, b.y, a.x * b.x)); }
__device__ inline Axes operator*(Two a, Axes b) { return {a * b.x, a * b.y, a * b.z}; }
__device__ inline Axes operator+(Axes a, Axes b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
__device__ inline Axes operator-(Axes a, Axes b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
__device__ inline Axes fma(Two a, Axes b, Axes c) {
  return {fma(a, b.x, c.x), fma(a, b.y, c.y), fma(a, b.z, c.z)};
}

__device__ inline Axes load_axes(const float *from) {
  return {load(from), load(from + SLICE), load(from + 2 * SLICE)};
}

__device__ inline void store_axes(float *to, Axes value) {
  store(to, value.x);
  store(to + SLICE, value.y);
  store(to + 2 * SLICE, value.z);
}

/// Where the record of a row begins; `rows` is how many there are, `width` how many vectors each
/// has.
__device__ inline size_t record(uint32_t slice, uint32_t row, uint32_t rows, int width) {
  return ((size_t)slice * rows + row) * (width * SLICE);
}

/// A pair within the cutoff, as the kernels read it.
struct __align__(16) Pair {
  /// The neighbor's row, and its kind of atom.
  uint32_t row, kind;
  /// Interval of the filter table, and the place in it, 0 … 1.
  uint32_t interval;
  float t;
  /// (r_j − r_i) / (d + softening).
  float u[3];
  /// The caller's number of the neighbor; in a structure without a list, which image of the row's
  /// atom it is.
  uint32_t position;
};

/// What is not at most this large is not a finite number.
constexpr double LARGEST = 1.7976931348623157e308;

/// Atoms nearer to each other than this (Å) are at one place, as in src/engine/pair.rs.
constexpr double COINCIDENT = 1e-9;

/// A pair's distance as the filters see it (Å), and its slope by the true one.
struct Seen {
  double distance, slope;
};

/// Of two kinds with these radii of repulsion (Å), d apart: the formulas of model::repulsion.
__device__ inline Seen seen(double radius, double other, double core_share, double d) {
  const double reach = radius > 0 && other > 0 ? radius + other : 0;
  const double core = core_share * reach;
  if (d >= reach || core <= 0)
    return {d, 1};
  const double t = fmax((d - core) / (reach - core), 0.0);
  const double lost = 0.5 - t * t * t * (1 - 0.5 * t);
  return {reach - (reach - core) * lost, t * t * (3 - 2 * t)};
}

/// Sets a flag, which any number of threads may do.
__device__ inline void note(uint32_t *flag) { atomicExch(flag, 1u); }
