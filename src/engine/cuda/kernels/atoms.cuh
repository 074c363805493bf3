// What atoms do on their own: updates, senders and readout, forward and reverse. Formulas as in
// engine::reference. One block of threads takes a tile of atoms through all of it; inputs of dense
// layers lie in shared memory, everything else in records, which the same block wrote.
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

/// Values kept from forward to reverse. Both families begin with silu' of the update and two gates;
/// `painn` goes on with V, W and silu' of the sender.
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
  /// Channels of shared memory in front of what is there for parts of sums: 4 h, or more where the
  /// readout is wide.
  int room;
  uint32_t active, rows;
  /// State after the message of the block whose update this is. Records of active rows.
  const float *state;
  /// Kept of this block, and of the next one, whose sender it is. Records of active rows.
  float *kept, *next_kept;
  /// State before the next message, of active rows.
  float *next_state;
  /// Forward update: features of the next message; reverse update: those of the message that was
  /// reversed. All rows.
  float *features;
  /// Reverse update: what the reverse message gave. Active rows.
  const float *received;
  /// Reverse update, in: adjoint of the state after the next message. Out: that of `state`. All
  /// rows.
  float *bar;
  /// Kind of each row, and of each kind where energies of atoms begin to saturate (eV).
  const uint32_t *kinds;
  const double *bounds;
  /// Energy of each row, without the species' reference (eV).
  double *energies;
};

/// Vectors of `published` that are shorter count as zero: where symmetry makes v vanish, rounding
/// leaves a direction that means nothing.
constexpr float ROUNDING = 2e-6f;

struct Activation {
  float value, slope;
};

struct Bounded {
  double value, slope;
};

/// The energy of an atom whose network gives x (eV): the formulas of model::energy_range.
__device__ inline Bounded bounded(double x, double low, double high) {
  if (x < low) {
    const double t = tanh((low - x) / 0.5);
    return {low - 0.5 * t, 1 - t * t};
  }
  if (x > high) {
    const double y = (x - high) / 20;
    return {high + 20 * asinh(y), 1 / hypot(y, 1.0)};
  }
  return {x, 1};
}

__device__ inline Activation silu(float z) {
  const float sigmoid = 1 / (1 + expf(-z));
  return {z * sigmoid, sigmoid * (1 + z * (1 - sigmoid))};
}

__device__ inline float dot3(const float *a, const float *b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/// Longest chain of additions in float32, in channels: longer ones would lose a digit.
constexpr uint32_t CHAIN = 16;

/// Rows that a thread computes at once, of four outputs.
constexpr uint32_t BUNCH = 8;

/// Fewest inputs that a thread sums: shares are added one after the other, and many would lose a
/// digit, too.
constexpr uint32_t FEWEST = 8;

/// Inputs whose weights are on their way while others are multiplied.
constexpr uint32_t STEP = 4;

/// How one pass over a layer's weights is shared out among the threads of a block.
struct Shares {
  /// Outputs, in fours, and these times the bunches of rows.
  uint32_t quads, items;
  /// Threads that share the sum over the inputs.
  uint32_t count;

  __device__ Shares(uint32_t rows, uint32_t channels, uint32_t inputs)
      : quads(channels / 4), items(quads * (rows / BUNCH)), count(1) {
    while (2 * count * items <= blockDim.x && 2 * count * FEWEST <= inputs)
      count *= 2;
  }

  /// Where in `parts` a thread's sums lie: parts[index][thread] of four rows each, where index is
  /// twice the output plus the half of the eight rows. A row has one place more than threads, so
  /// that a warp that reads four rows of eight channels meets 32 banks.
  __device__ static uint32_t place(uint32_t index, uint32_t thread) {
    return 4 * (index * (blockDim.x + 1) + thread);
  }

  /// Σ of a row and channel.
  __device__ float sum(const float *parts, uint32_t row, uint32_t channel) const {
    const uint32_t index = channel % 4 * (BUNCH / 4) + row % BUNCH / 4;
    const float *part = parts + place(index, row / BUNCH * quads + channel / 4) + row % 4;
    float sum = 0;
#pragma unroll 1
    for (uint32_t share = 0; share < count; ++share)
      sum += part[4 * share * items];
    return sum;
  }
};

/// Sums W x for outputs from `first` on, four for each thread and bunch of rows; outputs beyond the
/// layer's are those of the next copy of the input. `input` and `parts` are places in shared
/// memory, in floats. By value: the address of a kernel's argument would have every thread copy all
/// of them.
template <uint32_t ROWS>
__device__ __noinline__ void multiply(const Linear layer, const Shares shares, uint32_t first,
                                      uint32_t input, uint32_t parts) {
  SHARED_MEMORY(bytes);
  float *const shared = reinterpret_cast<float *>(bytes);
  constexpr uint32_t STRIDE = ROWS + 4;
  const uint32_t work = threadIdx.x;
  if (work >= shares.items * shares.count)
    return;
  const uint32_t share = work / shares.items, item = work % shares.items;
  const uint32_t inputs = layer.inputs, outputs = layer.outputs;
  const uint32_t steps = inputs / STEP, channel = first + 4 * (item % shares.quads);
  const uint32_t from = steps * share / shares.count * STEP,
                 to = steps * (share + 1) / shares.count * STEP;
  const float *column = layer.weight + from * outputs + channel % outputs;
  const float *values =
      shared + input + (channel / outputs * inputs + from) * STRIDE + item / shares.quads * BUNCH;
  float4 weights[STEP];
#pragma unroll
  for (uint32_t q = 0; q < STEP; ++q)
    weights[q] = *reinterpret_cast<const float4 *>(column + q * outputs);
#pragma unroll 1
  for (uint32_t link = from; link < to; link += CHAIN) {
    float sum[4][BUNCH] = {};
    const uint32_t end = min(link + CHAIN, to);
#pragma unroll 1
    for (uint32_t k = link; k < end; k += STEP) {
      // Behind the last ones the same again.
      if (k + STEP < to)
        column += STEP * outputs;
#pragma unroll
      for (uint32_t q = 0; q < STEP; ++q) {
        const float4 w = weights[q];
        weights[q] = *reinterpret_cast<const float4 *>(column + q * outputs);
#pragma unroll
        for (uint32_t r = 0; r < BUNCH; r += 4) {
          const float4 value = *reinterpret_cast<const float4 *>(values + q * STRIDE + r);
          const float four[4] = {value.x, value.y, value.z, value.w};
#pragma unroll
          for (uint32_t s = 0; s < 4; ++s) {
            sum[0][r + s] = fmaf(four[s], w.x, sum[0][r + s]);
            sum[1][r + s] = fmaf(four[s], w.y, sum[1][r + s]);
            sum[2][r + s] = fmaf(four[s], w.z, sum[2][r + s]);
            sum[3][r + s] = fmaf(four[s], w.w, sum[3][r + s]);
          }
        }
      }
      values += STEP * STRIDE;
    }
#pragma unroll
    for (uint32_t index = 0; index < BUNCH; ++index) {
      const float *const four = sum[index / (BUNCH / 4)] + index % (BUNCH / 4) * 4;
      float4 *const to_four =
          reinterpret_cast<float4 *>(shared + parts + Shares::place(index, work));
      float4 total = {four[0], four[1], four[2], four[3]};
      if (link > from) {
        const float4 before = *to_four;
        total = {before.x + total.x, before.y + total.y, before.z + total.z, before.w + total.w};
      }
      *to_four = total;
    }
  }
}

/// Atoms that a block of threads computes together.
template <uint32_t ROWS_> struct Tile {
  static constexpr uint32_t ROWS = ROWS_;
  /// Distance between channels in shared memory; four more rows spread them over the banks.
  static constexpr uint32_t STRIDE = ROWS + 4;

  const Atoms &p;
  const uint32_t h;
  const uint32_t first;
  /// Shared memory: inputs of layers, 3 h channels and h more, which `hidden` ones are; `p.room`
  /// channels in all. Behind them is room for sums.
  float *const x;

  __device__ Tile(const Atoms &p, float *shared)
      : p(p), h(CHANNELS ? CHANNELS : p.channels), first(blockIdx.x * ROWS), x(shared) {}

  __device__ bool used(uint32_t row) const { return first + row < p.active; }

  /// Index of vector k of a record of active rows, at one channel.
  __device__ size_t own(int width, int k, uint32_t row, uint32_t channel) const {
    return in(p.active, width, k, row, channel);
  }

  /// Index of vector k of a record of all rows, at one channel.
  __device__ size_t all(int width, int k, uint32_t row, uint32_t channel) const {
    return in(p.rows, width, k, row, channel);
  }

  __device__ size_t in(uint32_t rows, int width, int k, uint32_t row, uint32_t channel) const {
    return record(channel / SLICE, first + row, rows, width) + k * SLICE + channel % SLICE;
  }

  /// Runs `body(row, channel)` for all atoms of the tile and so many channels, a multiple of eight;
  /// then all threads see what it wrote. A warp takes four rows of eight channels: these lie in 32
  /// banks, and in whole sectors of records.
  template <class Body> __device__ void each(uint32_t channels, Body body) const {
#pragma unroll 1
    for (uint32_t k = threadIdx.x; k < ROWS * channels; k += blockDim.x) {
      const uint32_t row = k / 32 % (ROWS / 4) * 4 + k / 8 % 4;
      if (used(row))
        body(row, k / (8 * ROWS) * 8 + k % 8);
    }
    __syncthreads();
  }

  template <class Body> __device__ void each(Body body) const { each(h, body); }

  /// A dense layer, of inputs from this channel of x on, and as many of each other copy behind
  /// them; `to(row, channel, y)` gets each value, a copy's channels behind those of the one before.
  template <int COPIES = 1, class To>
  __device__ void dense(const Linear &layer, uint32_t input, To to) const {
    const uint32_t all = COPIES * layer.outputs, most = blockDim.x * 4 * BUNCH / ROWS;
#pragma unroll 1
    for (uint32_t first = 0; first < all; first += most) {
      const uint32_t channels = min(most, all - first);
      const Shares shares(ROWS, channels, layer.inputs);
      multiply<ROWS>(layer, shares, first, input * STRIDE, p.room * STRIDE);
      __syncthreads();
      each(channels, [&](uint32_t row, uint32_t channel) {
        const uint32_t output = first + channel;
        const float bias =
            layer.bias ? layer.bias[COPIES > 1 ? output % layer.outputs : output] : 0;
        to(row, output, bias + shares.sum(x + p.room * STRIDE, row, channel));
      });
    }
  }

  /// An input of layers.
  __device__ float &in_x(uint32_t channel, uint32_t row) const { return x[channel * STRIDE + row]; }
  __device__ float &in_hidden(uint32_t channel, uint32_t row) const {
    return in_x(hidden() + channel, row);
  }
  __device__ uint32_t hidden() const { return 3 * h; }
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

template <bool PAINN> __device__ constexpr int kept_width() {
  return PAINN ? PAINN_KEPT : PUBLISHED_KEPT;
}

/// From `state` to s in the first h channels of x, and to gates, V and W in `kept`.
template <bool PAINN, class T> __device__ void update(const T &tile) {
  const Atoms &p = tile.p;
  const uint32_t h = tile.h;
  constexpr int KEPT = kept_width<PAINN>();
  if (PAINN) {
    tile.each(3 * h, [&](uint32_t row, uint32_t channel) {
      tile.in_x(channel, row) = p.state[tile.own(STATE, 1 + channel / h, row, channel % h)];
    });
    tile.template dense<3>(p.mix, 0, [&](uint32_t row, uint32_t channel, float y) {
      const uint32_t a = channel / (2 * h), c = channel % (2 * h);
      p.kept[tile.own(KEPT, (c < h ? LEFT : RIGHT) + a, row, c % h)] = y;
    });
  }
  tile.each([&](uint32_t row, uint32_t c) {
    tile.in_x(c, row) = p.state[tile.own(STATE, 0, row, c)];
    if (PAINN) {
      const Vector left(p.kept + tile.own(KEPT, LEFT, row, c));
      tile.in_x(h + c, row) = length(p, dot3(left, left));
    } else {
      const Vector v(p.state + tile.own(STATE, 1, row, c));
      tile.in_x(h + c, row) = sqrtf(dot3(v, v));
    }
  });
  tile.dense(p.update.first, 0, [&](uint32_t row, uint32_t channel, float z) {
    const Activation active = silu(z);
    tile.in_hidden(channel, row) = active.value;
    p.kept[tile.own(KEPT, SLOPE, row, channel)] = active.slope;
  });
  tile.dense(p.update.second, tile.hidden(), [&](uint32_t row, uint32_t channel, float y) {
    const uint32_t segment = channel / h, c = channel % h;
    if (segment == 0)
      tile.in_x(c, row) += y;
    else
      p.kept[tile.own(KEPT, segment == 1 ? GATE_0 : GATE_1, row, c)] = y;
  });
  if (PAINN)
    tile.each([&](uint32_t row, uint32_t c) {
      const size_t at = tile.own(KEPT, 0, row, c);
      const Vector left(p.kept + at + LEFT * SLICE), right(p.kept + at + RIGHT * SLICE);
      tile.in_x(c, row) += p.kept[at + GATE_0 * SLICE] * dot3(left, right);
    });
}

/// Reverse of `update`, on s̄ and v̄ in `bar`; v̄ is 0 after the last block.
template <bool PAINN, bool LAST, class T> __device__ void update_reverse(const T &tile) {
  const Atoms &p = tile.p;
  const uint32_t h = tile.h;
  constexpr int KEPT = kept_width<PAINN>();
  tile.each([&](uint32_t row, uint32_t c) {
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
  tile.dense(p.update.second_reverse, 0, [&](uint32_t row, uint32_t channel, float y) {
    tile.in_hidden(channel, row) = y * p.kept[tile.own(KEPT, SLOPE, row, channel)];
  });
  // The adjoint of n goes behind the channels that the mix takes.
  tile.dense(p.update.first_reverse, tile.hidden(), [&](uint32_t row, uint32_t channel, float y) {
    if (channel < h)
      p.bar[tile.all(STATE, 0, row, channel)] += y;
    else
      tile.in_x(h + channel, row) = y;
  });
  if (PAINN) {
#pragma unroll 1
    for (int a = 0; a < 3; ++a) {
      tile.each([&](uint32_t row, uint32_t c) {
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
      tile.dense(p.mix_reverse, 0, [&](uint32_t row, uint32_t channel, float y) {
        p.bar[tile.all(STATE, 1 + a, row, channel)] += y;
      });
    }
  } else {
    tile.each([&](uint32_t row, uint32_t c) {
      // |v| has no slope at v = 0; PyTorch takes 0 there.
      const Vector v(p.state + tile.own(STATE, 1, row, c));
      const float n = sqrtf(dot3(v, v));
      if (n > ROUNDING)
        for (int a = 0; a < 3; ++a)
          p.bar[tile.all(STATE, 1 + a, row, c)] += tile.in_x(2 * h + c, row) * v[a] / n;
    });
  }
}

/// After the message of a block that is not the last: its update, and the features that the next
/// block sends.
template <bool PAINN, class T> __device__ void forward_update(const T &tile) {
  const Atoms &p = tile.p;
  const uint32_t h = tile.h;
  constexpr int KEPT = kept_width<PAINN>(), WIDTH = PAINN ? 6 : 4;
  update<PAINN>(tile);
  tile.each([&](uint32_t row, uint32_t c) {
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
  tile.dense(p.sender.first, 0, [&](uint32_t row, uint32_t channel, float z) {
    const Activation active = silu(z);
    tile.in_hidden(channel, row) = active.value;
    p.next_kept[tile.own(KEPT, SENDER_SLOPE, row, channel)] = active.slope;
  });
  tile.dense(p.sender.second, tile.hidden(), [&](uint32_t row, uint32_t channel, float y) {
    p.features[tile.all(WIDTH, channel / h, row, channel % h)] = y;
  });
}

/// Energies from s in x, whose adjoint takes its place in `bar`.
template <class T> __device__ void readout(const T &tile) {
  const Atoms &p = tile.p;
  // Where the values of each layer are in x: behind s, which is not needed later. Their slopes
  // follow.
  int begin[HEAD + 1] = {0};
  int next = tile.h;
  const auto slopes = [&](int k) { return begin[k] + p.head.forward[k - 1].outputs; };
#pragma unroll 1
  for (int k = 0; k < p.head.layers; ++k) {
    begin[k + 1] = next;
    next += 2 * p.head.forward[k].outputs;
    tile.dense(p.head.forward[k], begin[k], [&](uint32_t row, uint32_t channel, float z) {
      const Activation active = silu(z);
      tile.in_x(begin[k + 1] + channel, row) = active.value;
      tile.in_x(slopes(k + 1) + channel, row) = active.slope;
    });
  }
  // The last layer gives one value, in float64; its weights are the adjoint of its inputs.
  const int top = p.head.layers;
  for (uint32_t row = threadIdx.x; row < T::ROWS; row += blockDim.x) {
    if (!tile.used(row))
      continue;
    double energy = p.head.bias;
#pragma unroll 1
    for (int c = 0; c < p.head.inputs; ++c) {
      float &value = tile.in_x(begin[top] + c, row);
      energy += p.head.weights[c] * value;
      value = (float)p.head.weights[c] * (top ? tile.in_x(slopes(top) + c, row) : 1);
    }
    const double *bounds = p.bounds + 2 * p.kinds[tile.first + row];
    const Bounded found = bounded(energy, bounds[0], bounds[1]);
    p.energies[tile.first + row] = found.value;
    if (found.slope != 1)
#pragma unroll 1
      for (int c = 0; c < p.head.inputs; ++c)
        tile.in_x(begin[top] + c, row) *= (float)found.slope;
  }
  __syncthreads();
#pragma unroll 1
  for (int k = top; k > 0; --k) {
    tile.dense(p.head.reverse[k - 1], begin[k], [&](uint32_t row, uint32_t channel, float y) {
      tile.in_x(begin[k - 1] + channel, row) =
          k > 1 ? y * tile.in_x(slopes(k - 1) + channel, row) : y;
    });
  }
  tile.each([&](uint32_t row, uint32_t c) {
    float *const bar = p.bar + tile.all(STATE, 0, row, c);
    bar[0] = tile.in_x(c, row);
    for (int a = 0; a < 3; ++a)
      bar[(1 + a) * SLICE] = 0;
  });
}

/// After the last message: update, readout, and the reverse of the update.
template <bool PAINN, class T> __device__ void last_update(const T &tile) {
  update<PAINN>(tile);
  readout(tile);
  update_reverse<PAINN, true>(tile);
}

/// After the reverse message of a block that is not the first: through its sender to the state
/// before it, and through the update of the block before, which `state`, `kept` and the layers
/// belong to.
template <bool PAINN, class T> __device__ void reverse_update(const T &tile) {
  const Atoms &p = tile.p;
  const uint32_t h = tile.h;
  constexpr int KEPT = kept_width<PAINN>(), RECEIVED = PAINN ? 5 : 4;
  tile.each([&](uint32_t row, uint32_t c) {
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
    tile.dense(p.sender.second_reverse, 0, [&](uint32_t row, uint32_t channel, float y) {
      tile.in_hidden(channel, row) = y * p.next_kept[tile.own(KEPT, SENDER_SLOPE, row, channel)];
    });
    tile.dense(p.sender.first_reverse, tile.hidden(), [&](uint32_t row, uint32_t channel, float y) {
      p.bar[tile.all(STATE, 0, row, channel)] += y;
    });
  }
  update_reverse<PAINN, false>(tile);
}

#define ATOMS(size, rows, threads)                                                                 \
  ATOMS_OF(published_##size, false, rows, threads)                                                 \
  ATOMS_OF(painn_##size, true, rows, threads)

#define ATOMS_OF(name, painn, rows, threads)                                                       \
  LARGE_KERNEL(forward_update_##name, Atoms, threads) {                                            \
    SHARED_MEMORY(shared);                                                                         \
    forward_update<painn>(Tile<rows>(p, reinterpret_cast<float *>(shared)));                       \
  }                                                                                                \
  LARGE_KERNEL(last_update_##name, Atoms, threads) {                                               \
    SHARED_MEMORY(shared);                                                                         \
    last_update<painn>(Tile<rows>(p, reinterpret_cast<float *>(shared)));                          \
  }                                                                                                \
  LARGE_KERNEL(reverse_update_##name, Atoms, threads) {                                            \
    SHARED_MEMORY(shared);                                                                         \
    reverse_update<painn>(Tile<rows>(p, reinterpret_cast<float *>(shared)));                       \
  }

// Many atoms: weights are read once for 32 of them. Few: one block of threads for eight, since
// fewer blocks than the GPU has multiprocessors would leave some of them idle. As many threads as
// shape.rs has for few; for many, which have half of it, the bound leaves each 128 registers, so
// that two blocks fit.
ATOMS(many, 32, 512)
ATOMS(few, 8, 512)
