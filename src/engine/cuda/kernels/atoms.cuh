// What atoms do on their own: updates, senders and readout, forward and reverse. Formulas as in
// engine::reference. One block of threads takes a tile of atoms through all of it; inputs of dense layers lie
// in shared memory, everything else in records, which the same block wrote.
#pragma once
#include "common.cuh"

/// Number of channels, a multiple of 16; 0: known at run time alone.
#ifndef CHANNELS
#define CHANNELS 0
#endif

/// y = W x + b. Widths are multiples of 16.
struct Linear {
  /// inputs × outputs.
  const float *weight;
  /// Null: none.
  const float *bias;
  int inputs, outputs;
};

/// Two dense layers with silu between; the transposed ones carry adjoints back.
struct Mlp {
  Linear first, second, second_reverse, first_reverse;
};

/// Most layers of a readout before the last one.
constexpr int HEAD = 4;

struct Head {
  Linear forward[HEAD], reverse[HEAD];
  /// The last layer, which gives one value.
  const double *weights;
  double bias;
  int layers, inputs;
};

/// Values kept from forward to reverse. Both families begin with silu' of the update and two gates; `painn`
/// goes on with V, W and silu' of the sender.
constexpr int SLOPE = 0, GATE_0 = 1, GATE_1 = 2, PUBLISHED_KEPT = 3;
constexpr int LEFT = 3, RIGHT = 6, SENDER_SLOPE = 9, PAINN_KEPT = 10;

struct Atoms {
  Mlp update, sender;
  Linear mix, mix_reverse;
  Head head;
  /// `published`: M. `painn`: what is added under the root of n, and its shift.
  float mixing[9];
  float under_root, epsilon;
  int shifted;
  int channels;
  /// Channels of shared memory in front of what is there for parts of sums: 4 h, or more where the readout is wide.
  int room;
  uint32_t active, rows;
  /// State after the message of the block whose update this is. Records of active rows.
  const float *state;
  /// Kept of this block, and of the next one, whose sender it is. Records of active rows.
  float *kept, *next_kept;
  /// State before the next message, of active rows.
  float *next_state;
  /// Advance: features of the next message; retreat: those of the message that was reversed. All rows.
  float *features;
  /// Retreat: what the reverse message gave. Active rows.
  const float *received;
  /// Retreat, in: adjoint of the state after the next message. Out: that of `state`. All rows.
  float *bar;
  /// Energy of each row, without the species' reference (eV).
  double *energies;
};

/// Vectors of `published` that are shorter count as zero: where symmetry makes v vanish, rounding leaves a
/// direction that means nothing.
constexpr float ROUNDING = 2e-6f;

struct Activation {
  float value, slope;
};

__device__ inline Activation silu(float z) {
  const float sigmoid = 1 / (1 + expf(-z));
  return {z * sigmoid, sigmoid * (1 + z * (1 - sigmoid))};
}

__device__ inline float dot3(const float *a, const float *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/// Longest chain of additions in float32, in channels: longer ones would lose a digit.
constexpr int CHAIN = 32;

/// W x for a part of a layer's outputs. Where there are more threads than results, several share the sum over the
/// inputs: gives their number; the sums of each are (share × channels + channel) × stride + row in `parts`.
template <int ROWS, int BUNCH>
__device__ __noinline__ int multiply(const float *weight, int inputs, int outputs, int channels, const float *input,
                                     float *parts) {
  constexpr int STRIDE = ROWS + 4;
  const int quads = channels / 4, items = quads * (ROWS / BUNCH), threads = blockDim.x;
  int shares = 1;
  while (2 * shares * items <= threads && 2 * shares <= inputs)
    shares *= 2;
  for (int work = threadIdx.x; work < items * shares; work += threads) {
    const int share = work / items, quad = work % items % quads, row = work % items / quads * BUNCH;
    const int from = inputs * share / shares, to = inputs * (share + 1) / shares;
    const float *column = weight + 4 * quad;
    float *const to_parts = parts + (share * channels + 4 * quad) * STRIDE + row;
    for (int link = from; link < to; link += CHAIN) {
      float sum[BUNCH][4] = {};
      const int end = min(link + CHAIN, to);
#pragma unroll 4
      for (int k = link; k < end; ++k) {
        const float4 w = *reinterpret_cast<const float4 *>(column + k * outputs);
        const float *values = input + k * STRIDE + row;
#pragma unroll
        for (int r = 0; r < BUNCH; r += 4) {
          const float4 value = *reinterpret_cast<const float4 *>(values + r);
          const float four[4] = {value.x, value.y, value.z, value.w};
#pragma unroll
          for (int q = 0; q < 4; ++q) {
            sum[r + q][0] = fmaf(four[q], w.x, sum[r + q][0]);
            sum[r + q][1] = fmaf(four[q], w.y, sum[r + q][1]);
            sum[r + q][2] = fmaf(four[q], w.z, sum[r + q][2]);
            sum[r + q][3] = fmaf(four[q], w.w, sum[r + q][3]);
          }
        }
      }
#pragma unroll
      for (int c = 0; c < 4; ++c) {
#pragma unroll
        for (int r = 0; r < BUNCH; r += 4) {
          float4 *const to_four = reinterpret_cast<float4 *>(to_parts + c * STRIDE + r);
          float4 total = {sum[r][c], sum[r + 1][c], sum[r + 2][c], sum[r + 3][c]};
          if (link > from) {
            const float4 before = *to_four;
            total = {before.x + total.x, before.y + total.y, before.z + total.z, before.w + total.w};
          }
          *to_four = total;
        }
      }
    }
  }
  return shares;
}

/// Atoms that a block of threads computes together, and the rows of a tile that a thread computes at once.
template <int ROWS_, int BUNCH_> struct Tile {
  static constexpr int ROWS = ROWS_, BUNCH = BUNCH_;
  /// Distance between channels in shared memory; four more rows spread them over the banks.
  static constexpr int STRIDE = ROWS + 4;

  const Atoms &p;
  const int h;
  const uint32_t first;
  /// Inputs of layers: 3 h channels, h channels, and room for parts of sums.
  float *const x, *const hidden, *const parts;

  __device__ Tile(const Atoms &p, float *shared)
      : p(p), h(CHANNELS ? CHANNELS : p.channels), first(blockIdx.x * ROWS), x(shared), hidden(x + 3 * h * STRIDE),
        parts(x + p.room * STRIDE) {}

  __device__ bool used(int row) const { return first + row < p.active; }

  /// Index of vector k of a record of active rows, at one channel.
  __device__ size_t own(int width, int k, int row, int channel) const { return in(p.active, width, k, row, channel); }

  /// The same of all rows.
  __device__ size_t all(int width, int k, int row, int channel) const { return in(p.rows, width, k, row, channel); }

  __device__ size_t in(uint32_t rows, int width, int k, int row, int channel) const {
    return record(channel / SLICE, first + row, rows, width) + k * SLICE + channel % SLICE;
  }

  /// Runs `body(row, channel)` for all atoms of the tile and so many channels; then all threads see what it wrote.
  template <class Body> __device__ void each(int channels, Body body) const {
#pragma unroll 1
    for (int k = threadIdx.x; k < ROWS * channels; k += blockDim.x)
      if (used(k / channels))
        body(k / channels, k % channels);
    __syncthreads();
  }

  template <class Body> __device__ void each(Body body) const { each(h, body); }

  /// A dense layer: `input` holds inputs × STRIDE values; `output(row, channel, y)` gets each value.
  template <class Output> __device__ void dense(const Linear &layer, const float *input, Output output) const {
#pragma unroll 1
    for (int first = 0; first < layer.outputs; first += h) {
      const int channels = min(h, layer.outputs - first);
      const int shares = multiply<ROWS, BUNCH>(layer.weight + first, layer.inputs, layer.outputs, channels, input, parts);
      __syncthreads();
      each(channels, [&](int row, int channel) {
        float y = layer.bias ? layer.bias[first + channel] : 0;
#pragma unroll 1
        for (int share = 0; share < shares; ++share)
          y += parts[(share * channels + channel) * STRIDE + row];
        output(row, first + channel, y);
      });
    }
  }

  /// Where vectors that are inputs of layers lie: channel of x or `hidden`.
  __device__ float &in_x(int channel, int row) const { return x[channel * STRIDE + row]; }
  __device__ float &in_hidden(int channel, int row) const { return hidden[channel * STRIDE + row]; }
};

__device__ inline void mix_axes(const float *m, const float *v, bool transposed, float *result) {
  for (int a = 0; a < 3; ++a) {
    result[a] = 0;
    for (int b = 0; b < 3; ++b)
      result[a] += m[transposed ? 3 * b + a : 3 * a + b] * v[b];
  }
}

/// The three axes at an index of a record.
struct Vector {
  float at[3];
  __device__ explicit Vector(const float *from) : at{from[0], from[SLICE], from[2 * SLICE]} {}
  __device__ operator const float *() const { return at; }
};

/// n from x², and the root that V is divided by to give ∂n/∂V: as Norm::at.
__device__ inline float root(const Atoms &p, float square) { return sqrtf(square + p.under_root); }
__device__ inline float length(const Atoms &p, float square) {
  return p.shifted ? square / (root(p, square) + p.epsilon) : root(p, square);
}

template <bool PAINN> __device__ constexpr int kept_width() { return PAINN ? PAINN_KEPT : PUBLISHED_KEPT; }

/// From `state` to s in the first h channels of x, and to gates, V and W in `kept`.
template <bool PAINN, bool LAST, class T> __device__ void update(const T &tile) {
  const Atoms &p = tile.p;
  const int h = tile.h;
  constexpr int KEPT = kept_width<PAINN>();
  if (PAINN) {
#pragma unroll 1
    for (int a = 0; a < 3; ++a) {
      tile.each([&](int row, int c) { tile.in_x(c, row) = p.state[tile.own(STATE, 1 + a, row, c)]; });
      tile.dense(p.mix, tile.x, [&](int row, int channel, float y) {
        const bool left = channel < h;
        p.kept[tile.own(KEPT, (left ? LEFT : RIGHT) + a, row, left ? channel : channel - h)] = y;
      });
    }
  }
  tile.each([&](int row, int c) {
    tile.in_x(c, row) = p.state[tile.own(STATE, 0, row, c)];
    if (PAINN) {
      const Vector left(p.kept + tile.own(KEPT, LEFT, row, c));
      tile.in_x(h + c, row) = length(p, dot3(left, left));
    } else {
      const Vector v(p.state + tile.own(STATE, 1, row, c));
      tile.in_x(h + c, row) = sqrtf(dot3(v, v));
    }
  });
  tile.dense(p.update.first, tile.x, [&](int row, int channel, float z) {
    const Activation active = silu(z);
    tile.in_hidden(channel, row) = active.value;
    p.kept[tile.own(KEPT, SLOPE, row, channel)] = active.slope;
  });
  tile.dense(p.update.second, tile.hidden, [&](int row, int channel, float y) {
    const int segment = channel / h, c = channel % h;
    if (segment == 0)
      tile.in_x(c, row) += y;
    else
      p.kept[tile.own(KEPT, segment == 1 ? GATE_0 : GATE_1, row, c)] = y;
  });
  if (PAINN)
    tile.each([&](int row, int c) {
      const size_t at = tile.own(KEPT, 0, row, c);
      const Vector left(p.kept + at + LEFT * SLICE), right(p.kept + at + RIGHT * SLICE);
      tile.in_x(c, row) += p.kept[at + GATE_0 * SLICE] * dot3(left, right);
    });
}

/// Reverse of `update`, on s̄ and v̄ in `bar`; v̄ is 0 after the last block.
template <bool PAINN, bool LAST, class T> __device__ void update_reverse(const T &tile) {
  const Atoms &p = tile.p;
  const int h = tile.h;
  constexpr int KEPT = kept_width<PAINN>();
  tile.each([&](int row, int c) {
    float *const bar = p.bar + tile.all(STATE, 0, row, c);
    float *const kept = p.kept + tile.own(KEPT, 0, row, c);
    const float s_bar = bar[0];
    tile.in_x(c, row) = s_bar;
    if (PAINN) {
      const Vector left(kept + LEFT * SLICE), right(kept + RIGHT * SLICE);
      tile.in_x(h + c, row) = s_bar * dot3(left, right);
      if (!LAST)
        tile.in_x(2 * h + c, row) = dot3(Vector(bar + SLICE), right);
      // From here on the adjoint of Σ V W.
      kept[GATE_0 * SLICE] *= s_bar;
    } else if (!LAST) {
      const Vector v(p.state + tile.own(STATE, 1, row, c)), v_bar(bar + SLICE);
      float back[3], mixed[3];
      mix_axes(p.mixing, v_bar, true, back);
      mix_axes(p.mixing, v, false, mixed);
      tile.in_x(h + c, row) = dot3(v_bar, v);
      tile.in_x(2 * h + c, row) = dot3(v_bar, mixed);
      for (int a = 0; a < 3; ++a)
        bar[(1 + a) * SLICE] = v_bar[a] * kept[GATE_0 * SLICE] + back[a] * kept[GATE_1 * SLICE];
    }
  });
  tile.dense(p.update.second_reverse, tile.x, [&](int row, int channel, float y) {
    tile.in_hidden(channel, row) = y * p.kept[tile.own(KEPT, SLOPE, row, channel)];
  });
  // The adjoint of n goes behind the channels that the mix takes.
  tile.dense(p.update.first_reverse, tile.hidden, [&](int row, int channel, float y) {
    if (channel < h)
      p.bar[tile.all(STATE, 0, row, channel)] += y;
    else
      tile.in_x(h + channel, row) = y;
  });
  if (PAINN) {
#pragma unroll 1
    for (int a = 0; a < 3; ++a) {
      tile.each([&](int row, int c) {
        const float *const kept = p.kept + tile.own(KEPT, 0, row, c);
        const Vector left(kept + LEFT * SLICE), right(kept + RIGHT * SLICE);
        const float product_bar = kept[GATE_0 * SLICE];
        const float n_bar = tile.in_x(2 * h + c, row) / root(p, dot3(left, left));
        tile.in_x(c, row) = product_bar * right[a] + n_bar * left[a];
        float right_bar = product_bar * left[a];
        if (!LAST)
          right_bar += kept[GATE_1 * SLICE] * p.bar[tile.all(STATE, 1 + a, row, c)];
        tile.in_x(h + c, row) = right_bar;
      });
      tile.dense(p.mix_reverse, tile.x, [&](int row, int channel, float y) {
        p.bar[tile.all(STATE, 1 + a, row, channel)] += y;
      });
    }
  } else {
    tile.each([&](int row, int c) {
      // |v| has no slope at v = 0; PyTorch takes 0 there.
      const Vector v(p.state + tile.own(STATE, 1, row, c));
      const float n = sqrtf(dot3(v, v));
      if (n > ROUNDING)
        for (int a = 0; a < 3; ++a)
          p.bar[tile.all(STATE, 1 + a, row, c)] += tile.in_x(2 * h + c, row) * v[a] / n;
    });
  }
}

/// After the message of a block that is not the last: its update, and the features that the next block sends.
template <bool PAINN, class T> __device__ void advance(const T &tile) {
  const Atoms &p = tile.p;
  const int h = tile.h;
  constexpr int KEPT = kept_width<PAINN>(), WIDTH = PAINN ? 6 : 4;
  update<PAINN, false>(tile);
  tile.each([&](int row, int c) {
    const size_t state = tile.own(STATE, 0, row, c), features = tile.all(WIDTH, 0, row, c);
    const float *const kept = p.kept + tile.own(KEPT, 0, row, c);
    const float s = tile.in_x(c, row);
    const Vector v(p.state + state + SLICE);
    float next[3];
    if (PAINN) {
      const Vector right(kept + RIGHT * SLICE);
      for (int a = 0; a < 3; ++a)
        next[a] = v[a] + kept[GATE_1 * SLICE] * right[a];
    } else {
      mix_axes(p.mixing, v, false, next);
      for (int a = 0; a < 3; ++a)
        next[a] = v[a] * kept[GATE_0 * SLICE] + next[a] * kept[GATE_1 * SLICE];
      p.features[features] = s;
    }
    p.next_state[state] = s;
    for (int a = 0; a < 3; ++a) {
      p.next_state[state + (1 + a) * SLICE] = next[a];
      p.features[features + (WIDTH - 3 + a) * SLICE] = next[a];
    }
  });
  if (!PAINN)
    return;
  tile.dense(p.sender.first, tile.x, [&](int row, int channel, float z) {
    const Activation active = silu(z);
    tile.in_hidden(channel, row) = active.value;
    p.next_kept[tile.own(KEPT, SENDER_SLOPE, row, channel)] = active.slope;
  });
  tile.dense(p.sender.second, tile.hidden, [&](int row, int channel, float y) {
    p.features[tile.all(WIDTH, channel / h, row, channel % h)] = y;
  });
}

/// Energies from s in x, whose adjoint takes its place in `bar`.
template <class T> __device__ void readout(const T &tile) {
  const Atoms &p = tile.p;
  // Of each layer values, then slopes; behind s, which is not needed later.
  float *values[HEAD + 1] = {tile.x};
  float *slopes[HEAD + 1] = {nullptr};
  float *next = tile.x + tile.h * T::STRIDE;
#pragma unroll 1
  for (int k = 0; k < p.head.layers; ++k) {
    const int width = p.head.forward[k].outputs;
    float *const value = next, *const slope = next + width * T::STRIDE;
    next += 2 * width * T::STRIDE;
    tile.dense(p.head.forward[k], values[k], [&](int row, int channel, float z) {
      const Activation active = silu(z);
      value[channel * T::STRIDE + row] = active.value;
      slope[channel * T::STRIDE + row] = active.slope;
    });
    values[k + 1] = value;
    slopes[k + 1] = slope;
  }
  // The last layer gives one value, in float64; its weights are the adjoint of its inputs.
  const int top = p.head.layers;
  for (int row = threadIdx.x; row < T::ROWS; row += blockDim.x) {
    if (!tile.used(row))
      continue;
    double energy = p.head.bias;
#pragma unroll 4
    for (int c = 0; c < p.head.inputs; ++c) {
      float &value = values[top][c * T::STRIDE + row];
      energy += p.head.weights[c] * value;
      value = (float)p.head.weights[c] * (top ? slopes[top][c * T::STRIDE + row] : 1);
    }
    p.energies[tile.first + row] = energy;
  }
  __syncthreads();
#pragma unroll 1
  for (int k = top; k > 0; --k) {
    float *const to = values[k - 1], *const slope = slopes[k - 1];
    tile.dense(p.head.reverse[k - 1], values[k], [&](int row, int channel, float y) {
      to[channel * T::STRIDE + row] = slope ? y * slope[channel * T::STRIDE + row] : y;
    });
  }
  tile.each([&](int row, int c) {
    float *const bar = p.bar + tile.all(STATE, 0, row, c);
    bar[0] = tile.in_x(c, row);
    for (int a = 0; a < 3; ++a)
      bar[(1 + a) * SLICE] = 0;
  });
}

/// After the last message: update, readout, and the reverse of the update.
template <bool PAINN, class T> __device__ void turn(const T &tile) {
  update<PAINN, true>(tile);
  readout(tile);
  update_reverse<PAINN, true>(tile);
}

/// After the reverse message of a block that is not the first: through its sender to the state before it, and
/// through the update of the block before, which `state`, `kept` and the layers belong to.
template <bool PAINN, class T> __device__ void retreat(const T &tile) {
  const Atoms &p = tile.p;
  const int h = tile.h;
  constexpr int KEPT = kept_width<PAINN>(), RECEIVED = PAINN ? 5 : 4;
  tile.each([&](int row, int c) {
    const float *const received = p.received + tile.own(RECEIVED, 0, row, c);
    float *const bar = p.bar + tile.all(STATE, 0, row, c);
    const Vector turned(received + SLICE);
    float x2 = 1;
    if (PAINN) {
      const float *const features = p.features + tile.all(6, 0, row, c);
      x2 = features[SLICE];
      tile.in_x(c, row) = received[0];
      tile.in_x(h + c, row) = dot3(Vector(features + 3 * SLICE), turned);
      tile.in_x(2 * h + c, row) = received[4 * SLICE];
    } else {
      bar[0] += received[0];
    }
    for (int a = 0; a < 3; ++a)
      bar[(1 + a) * SLICE] += x2 * turned[a];
  });
  if (PAINN) {
    tile.dense(p.sender.second_reverse, tile.x, [&](int row, int channel, float y) {
      tile.in_hidden(channel, row) = y * p.next_kept[tile.own(KEPT, SENDER_SLOPE, row, channel)];
    });
    tile.dense(p.sender.first_reverse, tile.hidden, [&](int row, int channel, float y) {
      p.bar[tile.all(STATE, 0, row, channel)] += y;
    });
  }
  update_reverse<PAINN, false>(tile);
}

#define ATOMS(size, rows, bunch, threads)                                                                            \
  ATOMS_OF(published_##size, false, rows, bunch, threads)                                                            \
  ATOMS_OF(painn_##size, true, rows, bunch, threads)

#define ATOMS_OF(name, painn, rows, bunch, threads)                                                                  \
  KERNEL(advance_##name, Atoms, threads) {                                                                           \
    SHARED_MEMORY(shared);                                                                                           \
    advance<painn>(Tile<rows, bunch>(p, reinterpret_cast<float *>(shared)));                                         \
  }                                                                                                                  \
  KERNEL(turn_##name, Atoms, threads) {                                                                              \
    SHARED_MEMORY(shared);                                                                                           \
    turn<painn>(Tile<rows, bunch>(p, reinterpret_cast<float *>(shared)));                                            \
  }                                                                                                                  \
  KERNEL(retreat_##name, Atoms, threads) {                                                                           \
    SHARED_MEMORY(shared);                                                                                           \
    retreat<painn>(Tile<rows, bunch>(p, reinterpret_cast<float *>(shared)));                                         \
  }

// Many atoms: weights are read once for 32 of them. Few: one block of threads for four, since fewer blocks than the
// GPU has multiprocessors would leave some of them idle.
ATOMS(many, 32, 8, 128)
ATOMS(few, 4, 4, 256)
