// The messages, forward and reverse, as gathers: eight lanes compute an atom's sum over its
// neighbors, two channels each; without a table in shared memory, where atoms are few, four times
// as many lanes share its neighbors. Nothing is written to neighbors, so there are no atomics and
// sums keep their order. Formulas as in engine::reference.
//
// Slices of channels are the outer loop: the features of one slice stay in the L2 cache, its table
// in shared memory where it fits.
#pragma once
#include "common.cuh"

/// Lanes that go through a pair together. An atom has one such group, or four (`shares`).
constexpr int GROUP = SLICE / 2;

/// Longest chain of additions in float32, in pairs: longer ones would lose a digit.
constexpr uint32_t CHAIN = 8;

struct Message {
  const Pair *pairs;
  /// pairs[starts[row]] … pairs[starts[row] + counts[row] − 1] are those of atom `row`.
  const uint32_t *starts, *counts;
  /// Kind of each row.
  const uint32_t *kinds;
  /// Filters as cubic B-splines: for each slice, node from −1 on, filter (3), channel (16): control
  /// point, and what the next one differs by.
  const float *table;
  /// What atoms send, (x¹, x², x³, v) or (s, v): records of all rows. In the first message of all
  /// kinds.
  const float *features;
  /// First message: s of all kinds before it, records of one vector.
  const float *embedding;
  /// Forward: the state (s, v), to which the message is added. Records of active rows.
  float *state;
  /// Reverse: adjoint of the state after the message, of all rows.
  const float *bar;
  /// Reverse: x̄¹, Σ φ² v̄ (3) and, where senders have rows, x̄³. Records of active rows.
  float *received;
  /// Reverse: ∂E/∂d · step and ∂E/∂u of each pair; for each part of the slices its own.
  float *gradients;
  /// Places for pairs, of which each part of `gradients` has four values.
  size_t capacity;
  uint32_t active, rows, feature_rows, slices, nodes;
  /// Nodes from this one on are kept in shared memory: long distances are the most frequent ones.
  uint32_t resident;
  /// Whether `gradients` hold nothing yet.
  uint32_t overwrite, reserved;
};

/// A cubic B-spline is P_k + a D_{k−1} + b D_k + c D_{k+1}, where D are the differences of the
/// control points P; these are its weights, or those of its slope. Differences that were rounded by
/// themselves give slopes all of float32's digits, which differences of rounded values would not.
struct Weights {
  float before, here, after;
};

__device__ inline Weights values_at(float t) {
  const float r = 1 - t;
  constexpr float SIXTH = 1 / 6.0f;
  return {-SIXTH * r * r * r, SIXTH * (1 + t * (3 + t * (3 - 2 * t))), SIXTH * t * t * t};
}

__device__ inline Weights slopes_at(float t) {
  const float r = 1 - t;
  return {0.5f * r * r, 0.5f + t * r, 0.5f * t * t};
}

/// Values of a node: control point and difference of three filters.
constexpr int NODE = 3 * SLICE * 2;

/// The table of one slice: all of it, and the nodes from `resident` on in shared memory.
struct Table {
  const float *all, *kept;
  uint32_t resident;

  /// The first of the three nodes around an interval.
  __device__ const float *at(uint32_t interval) const {
    return interval < resident ? all + interval * NODE : kept + (interval - resident) * NODE;
  }
};

/// One filter around an interval, of two channels.
struct Nodes {
  Two point, before, here, after;
};

__device__ inline Nodes nodes(const float *interval, int filter, int lane) {
  const float *from = interval + (filter * SLICE + 2 * lane) * 2;
  const float4 before = *reinterpret_cast<const float4 *>(from);
  const float4 here = *reinterpret_cast<const float4 *>(from + NODE);
  const float4 after = *reinterpret_cast<const float4 *>(from + 2 * NODE);
  return {{here.x, here.z}, {before.y, before.w}, {here.y, here.w}, {after.y, after.w}};
}

__device__ inline Two value(const Nodes &nodes, const Weights &w) {
  return fma(w.before, nodes.before,
             fma(w.after, nodes.after, fma(w.here, nodes.here, nodes.point)));
}

__device__ inline Two slope(const Nodes &nodes, const Weights &w) {
  return fma(w.before, nodes.before, fma(w.after, nodes.after, w.here * nodes.here));
}

/// A feature record: x¹, x², x³ (where senders have rows) or s, and v.
struct Sender {
  Two x1, x2, x3;
  Axes v;
};

template <bool SENDER> __device__ constexpr int feature_width() { return SENDER ? 6 : 4; }

template <bool SENDER, bool INITIAL> __device__ inline Sender sender(const float *from) {
  Sender sent = {load(from), two(1), two(1), no_axes()};
  if (SENDER) {
    sent.x2 = load(from + SLICE);
    sent.x3 = load(from + 2 * SLICE);
  }
  if (!INITIAL)
    sent.v = load_axes(from + (SENDER ? 3 : 1) * SLICE);
  return sent;
}

/// The table of a slice, copied to shared memory if it is to be there.
template <bool SHARED> __device__ inline Table table_of(const Message &p, uint32_t slice) {
  const float *all = p.table + (size_t)slice * p.nodes * NODE;
  if (!SHARED)
    return {all, all, 0};
  SHARED_MEMORY(shared);
  const float4 *from = reinterpret_cast<const float4 *>(all + p.resident * NODE);
  float4 *to = reinterpret_cast<float4 *>(shared);
  __syncthreads();
  for (uint32_t k = threadIdx.x; k < (p.nodes - p.resident) * NODE / 4; k += blockDim.x)
    to[k] = from[k];
  __syncthreads();
  return {all, reinterpret_cast<const float *>(shared), p.resident};
}

/// Groups of lanes that share an atom's pairs, each every so many.
template <bool SHARED> __device__ constexpr uint32_t shares() { return SHARED ? 1 : 32 / GROUP; }

/// Pairs are loaded one ahead, so that what they refer to can be asked for at once.
__device__ inline Pair pair_ahead(const Pair *pairs, uint32_t k, uint32_t count) {
  return k < count ? pairs[k] : Pair{};
}

/// Sums over the groups of an atom; all lanes of the warp get them.
template <bool SHARED> __device__ inline float over_shares(float sum) {
  if (shares<SHARED>() > 1) {
    sum += __shfl_xor_sync(WARP, sum, GROUP);
    sum += __shfl_xor_sync(WARP, sum, 2 * GROUP);
  }
  return sum;
}

template <bool SHARED> __device__ inline Two over_shares(Two sum) {
  return {over_shares<SHARED>(sum.x), over_shares<SHARED>(sum.y)};
}

template <bool SHARED> __device__ inline Axes over_shares(Axes sum) {
  return {over_shares<SHARED>(sum.x), over_shares<SHARED>(sum.y), over_shares<SHARED>(sum.z)};
}

template <bool SENDER, bool INITIAL, bool SHARED> __device__ inline void forward(const Message &p) {
  constexpr int WIDTH = feature_width<SENDER>();
  constexpr uint32_t SHARES = shares<SHARED>();
  const int lane = threadIdx.x % GROUP;
  const uint32_t share = threadIdx.x / GROUP % SHARES;
  const uint32_t atoms = blockDim.x / (GROUP * SHARES);
  for (uint32_t slice = blockIdx.y; slice < p.slices; slice += gridDim.y) {
    const Table table = table_of<SHARED>(p, slice);
    const float *features = p.features + record(slice, 0, p.feature_rows, WIDTH) + 2 * lane;
    for (uint32_t i = blockIdx.x * atoms + threadIdx.x / (GROUP * SHARES); i < p.active;
         i += gridDim.x * atoms) {
      const Pair *pairs = p.pairs + p.starts[i];
      const uint32_t count = p.counts[i];
      const size_t own = record(slice, i, p.active, STATE) + 2 * lane;
      Two s;
      Axes v;
      if (INITIAL) {
        s = load(p.embedding + record(slice, p.kinds[i], p.feature_rows, 1) + 2 * lane);
        v = no_axes();
      } else {
        s = load(p.state + own);
        v = load_axes(p.state + own + SLICE);
      }
      Two s_sum = two(0), s_total = two(0);
      Axes v_sum = no_axes(), v_total = no_axes();
      Pair next = pair_ahead(pairs, share, count);
      for (uint32_t k = share; k < count; k += SHARES) {
        if (k / SHARES % CHAIN == 0) {
          s_total = s_total + s_sum;
          v_total = v_total + v_sum;
          s_sum = two(0);
          v_sum = no_axes();
        }
        const Pair pair = next;
        next = pair_ahead(pairs, k + SHARES, count);
        const float *filters = table.at(pair.interval);
        const Weights w = values_at(pair.t);
        const uint32_t row = INITIAL ? pair.kind : pair.row;
        const Sender there = sender<SENDER, INITIAL>(features + (size_t)row * (WIDTH * SLICE));
        s_sum = fma(there.x1, value(nodes(filters, 0, lane), w), s_sum);
        Two along = value(nodes(filters, 2, lane), w);
        if (SENDER)
          along = along * there.x3;
        v_sum.x = fma(pair.u[0], along, v_sum.x);
        v_sum.y = fma(pair.u[1], along, v_sum.y);
        v_sum.z = fma(pair.u[2], along, v_sum.z);
        if (!INITIAL) {
          Two turn = value(nodes(filters, 1, lane), w);
          if (SENDER)
            turn = turn * there.x2;
          v_sum = fma(turn, there.v, v_sum);
        }
      }
      const Two s_all = over_shares<SHARED>(s_total + s_sum);
      const Axes v_all = over_shares<SHARED>(v_total + v_sum);
      if (share == 0) {
        store(p.state + own, s + s_all);
        store_axes(p.state + own + SLICE, v + v_all);
      }
    }
  }
}

/// Sums of four values over the lanes of a pair. Lane 2 q, and lane 2 q + 1, get that of value q.
__device__ inline float over_group(int lane, float a, float b, float c, float d) {
  const bool high = lane & 4;
  const float first = (high ? c : a) + __shfl_xor_sync(WARP, high ? a : c, 4);
  const float second = (high ? d : b) + __shfl_xor_sync(WARP, high ? b : d, 4);
  const bool odd = lane & 2;
  const float sum = (odd ? second : first) + __shfl_xor_sync(WARP, odd ? first : second, 2);
  return sum + __shfl_xor_sync(WARP, sum, 1);
}

__device__ inline float both(Two a) { return a.x + a.y; }

template <bool SENDER, bool INITIAL, bool SHARED> __device__ inline void reverse(const Message &p) {
  constexpr int WIDTH = feature_width<SENDER>();
  constexpr int RECEIVED = SENDER ? 5 : 4;
  constexpr uint32_t SHARES = shares<SHARED>(), WARP_ATOMS = 32 / (GROUP * SHARES);
  const int lane = threadIdx.x % GROUP;
  const uint32_t share = threadIdx.x / GROUP % SHARES;
  const uint32_t atoms = blockDim.x / (GROUP * SHARES);
  // Lanes of a warp go through the loops together, since they exchange values.
  const uint32_t last = (p.active + WARP_ATOMS - 1) / WARP_ATOMS * WARP_ATOMS;
  for (uint32_t slice = blockIdx.y; slice < p.slices; slice += gridDim.y) {
    const Table table = table_of<SHARED>(p, slice);
    const float *features = p.features + record(slice, 0, p.feature_rows, WIDTH) + 2 * lane;
    const float *bars = p.bar + record(slice, 0, p.rows, STATE) + 2 * lane;
    const bool initial_sum = p.overwrite && slice == blockIdx.y;
    for (uint32_t i = blockIdx.x * atoms + threadIdx.x / (GROUP * SHARES); i < last;
         i += gridDim.x * atoms) {
      const uint32_t row = i < p.active ? i : p.active - 1;
      const uint32_t start = p.starts[row];
      const uint32_t count = i < p.active ? p.counts[row] : 0;
      uint32_t most = max(count, __shfl_xor_sync(WARP, count, GROUP));
      most = max(most, __shfl_xor_sync(WARP, most, 2 * GROUP));
      const uint32_t own = INITIAL ? p.kinds[row] : row;
      const Sender here = sender<SENDER, INITIAL>(features + (size_t)own * (WIDTH * SLICE));
      const Two s_i = load(bars + (size_t)row * (STATE * SLICE));
      const Axes v_i = load_axes(bars + (size_t)row * (STATE * SLICE) + SLICE);
      Two x1_bar = two(0), x3_bar = two(0), x1_total = two(0), x3_total = two(0);
      Axes turned_sum = no_axes(), turned_total = no_axes();
      const Pair *pairs = p.pairs + start;
      Pair next = pair_ahead(pairs, share, count);
      float *gradient = p.gradients + (blockIdx.y * p.capacity + start + share) * 4 + lane / 2;
      for (uint32_t round = 0; round * SHARES < most; ++round, gradient += 4 * SHARES) {
        const uint32_t k = share + round * SHARES;
        if (!INITIAL && round % CHAIN == 0) {
          x1_total = x1_total + x1_bar;
          x3_total = x3_total + x3_bar;
          turned_total = turned_total + turned_sum;
          x1_bar = x3_bar = two(0);
          turned_sum = no_axes();
        }
        Two d_bar = two(0);
        Axes u_bar = no_axes();
        const bool writes = k < count && lane % 2 == 0;
        const float before = writes && !initial_sum ? *gradient : 0;
        if (k < count) {
          const Pair pair = next;
          next = pair_ahead(pairs, k + SHARES, count);
          const float *filters = table.at(pair.interval);
          const Weights w = values_at(pair.t), w_slope = slopes_at(pair.t);
          const uint32_t from = INITIAL ? pair.kind : pair.row;
          const Sender there = sender<SENDER, INITIAL>(features + (size_t)from * (WIDTH * SLICE));
          const float *bar = bars + (size_t)pair.row * (STATE * SLICE);
          const Two s_j = load(bar);
          const Axes v_j = load_axes(bar + SLICE);
          const Axes u = {two(pair.u[0]), two(pair.u[1]), two(pair.u[2])};

          const Nodes third = nodes(filters, 2, lane);
          const Two f3 = value(third, w);
          const Axes along = SENDER ? there.x3 * v_i - here.x3 * v_j : v_i - v_j;
          u_bar = f3 * along;
          d_bar = slope(third, w_slope) * dot(u, along);

          const Nodes first = nodes(filters, 0, lane);
          d_bar = fma(slope(first, w_slope), fma(there.x1, s_i, here.x1 * s_j), d_bar);
          if (!INITIAL) {
            const Nodes second = nodes(filters, 1, lane);
            const Two to_i = dot(there.v, v_i), to_j = dot(here.v, v_j);
            const Two turned = SENDER ? fma(there.x2, to_i, here.x2 * to_j) : to_i + to_j;
            d_bar = fma(slope(second, w_slope), turned, d_bar);
            x1_bar = fma(value(first, w), s_j, x1_bar);
            turned_sum = fma(value(second, w), v_j, turned_sum);
            if (SENDER)
              x3_bar = x3_bar - f3 * dot(u, v_j);
          }
        }
        const float sum =
            over_group(lane, both(d_bar), both(u_bar.x), both(u_bar.y), both(u_bar.z));
        if (writes)
          *gradient = before + sum;
      }
      if (INITIAL)
        continue;
      const Two x1_all = over_shares<SHARED>(x1_total + x1_bar);
      const Two x3_all = SENDER ? over_shares<SHARED>(x3_total + x3_bar) : two(0);
      const Axes turned_all = over_shares<SHARED>(turned_total + turned_sum);
      if (i < p.active && share == 0) {
        float *to = p.received + record(slice, row, p.active, RECEIVED) + 2 * lane;
        store(to, x1_all);
        store_axes(to + SLICE, turned_all);
        if (SENDER)
          store(to + 4 * SLICE, x3_all);
      }
    }
  }
}

#define MESSAGES(name, sender, initial)                                                            \
  KERNEL(forward_##name, Message, 128) { forward<sender, initial, false>(p); }                     \
  LARGE_KERNEL(forward_##name##_shared, Message, 768) { forward<sender, initial, true>(p); }       \
  KERNEL(reverse_##name, Message, 128) { reverse<sender, initial, false>(p); }                     \
  LARGE_KERNEL(reverse_##name##_shared, Message, 512) { reverse<sender, initial, true>(p); }

MESSAGES(published_first, false, true)
MESSAGES(published, false, false)
MESSAGES(painn_first, true, true)
MESSAGES(painn, true, false)
