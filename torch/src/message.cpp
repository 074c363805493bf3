// The message of one block, as one operation that can be differentiated twice.
//
// For a pair (j -> i) with filter row phi, unit vector u and sender row x_j (see src/model):
//   ds_i += x1_j phi1                         dv_i += v_j x2_j phi2 + u x3_j phi3
// For adjoints (gs, gv) of (ds, dv), all first derivatives come from the multilinear
//   L = sum_pairs gs_i x1_j phi1 + (gv_i . v_j) x2_j phi2 + (gv_i . u) x3_j phi3,
// and for adjoints (a, b, c, e) of its derivatives by (x, v, phi, u), all second ones from
//   M = <a, dL/dx> + <b, dL/dv> + <c, dL/dphi> + <e, dL/du>.
// In plain tensor operations each of these products would be an array of pairs x channels.
//
// Shapes, with h scalars and g vectors: x N x (h + 2g) (values for s, v, u), v N x 3 x g,
// phi P x (h + 2g), u P x 3; pairs of one structure
// stand together, and so do its atoms. One thread works on one structure, so sums have one order.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <cstring>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

// Chosen when the program starts; GCC vectorises the loops over channels.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define EVERY_PROCESSOR \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_PROCESSOR
#endif
#define INLINE inline __attribute__((always_inline))

// The pairs of some structures.
struct Pairs {
    const int64_t *to;    // i
    const int64_t *from;  // j
    int64_t begin, end;
};

struct Forward {
    const float *x, *v, *phi, *u;
    float *ds, *dv;
};

struct Reverse {
    const float *gs, *gv, *x, *v, *phi, *u;
    float *gx, *gv_in, *gphi, *gu;
};

struct Second {
    const float *a, *b, *c, *e;
    const float *gs, *gv, *x, *v, *phi, *u;
    float *m_gs, *m_gv, *m_x, *m_v, *m_phi;
};

// In the first block v = 0: all terms with v_j or b_j are left out where `v` is null.

INLINE void forward_pairs(const Pairs &pairs, const Forward &f, int64_t h, int64_t g) {
    const int64_t w = h + 2 * g;
    for (int64_t p = pairs.begin; p < pairs.end; ++p) {
        const int64_t i = pairs.to[p], j = pairs.from[p];
        const float *x = f.x + j * w, *phi = f.phi + p * w, *u = f.u + 3 * p;
        float *ds = f.ds + i * h, *dv = f.dv + i * 3 * g;
#pragma omp simd
        for (int64_t k = 0; k < h; ++k) ds[k] += x[k] * phi[k];
        x += h, phi += h;
        if (f.v) {
            const float *v = f.v + j * 3 * g;
#pragma omp simd
            for (int64_t k = 0; k < g; ++k) {
                const float m2 = x[k] * phi[k], m3 = x[g + k] * phi[g + k];
                dv[k] += v[k] * m2 + u[0] * m3;
                dv[g + k] += v[g + k] * m2 + u[1] * m3;
                dv[2 * g + k] += v[2 * g + k] * m2 + u[2] * m3;
            }
        } else {
#pragma omp simd
            for (int64_t k = 0; k < g; ++k) {
                const float m3 = x[g + k] * phi[g + k];
                dv[k] += u[0] * m3;
                dv[g + k] += u[1] * m3;
                dv[2 * g + k] += u[2] * m3;
            }
        }
    }
}

INLINE void reverse_pairs(const Pairs &pairs, const Reverse &r, int64_t h, int64_t g) {
    const int64_t w = h + 2 * g;
    for (int64_t p = pairs.begin; p < pairs.end; ++p) {
        const int64_t i = pairs.to[p], j = pairs.from[p];
        const float *x = r.x + j * w, *phi = r.phi + p * w, *u = r.u + 3 * p;
        const float *gs = r.gs + i * h, *gv = r.gv + i * 3 * g;
        float *gx = r.gx + j * w, *gphi = r.gphi + p * w;
        float gu0 = 0, gu1 = 0, gu2 = 0;
#pragma omp simd
        for (int64_t k = 0; k < h; ++k) {
            gx[k] += gs[k] * phi[k];
            gphi[k] = gs[k] * x[k];
        }
        x += h, phi += h, gx += h, gphi += h;
#pragma omp simd reduction(+ : gu0, gu1, gu2)
        for (int64_t k = 0; k < g; ++k) {
            const float along = gv[k] * u[0] + gv[g + k] * u[1] + gv[2 * g + k] * u[2];
            const float m3 = x[g + k] * phi[g + k];
            gx[g + k] += along * phi[g + k];
            gphi[g + k] = along * x[g + k];
            gu0 += gv[k] * m3;
            gu1 += gv[g + k] * m3;
            gu2 += gv[2 * g + k] * m3;
        }
        if (r.v) {
            const float *v = r.v + j * 3 * g;
            float *gv_in = r.gv_in + j * 3 * g;
#pragma omp simd
            for (int64_t k = 0; k < g; ++k) {
                const float dot =
                    gv[k] * v[k] + gv[g + k] * v[g + k] + gv[2 * g + k] * v[2 * g + k];
                const float m2 = x[k] * phi[k];
                gx[k] += dot * phi[k];
                gphi[k] = dot * x[k];
                gv_in[k] += gv[k] * m2;
                gv_in[g + k] += gv[g + k] * m2;
                gv_in[2 * g + k] += gv[2 * g + k] * m2;
            }
        } else {
#pragma omp simd
            for (int64_t k = 0; k < g; ++k) gphi[k] = 0;
        }
        r.gu[3 * p] = gu0;
        r.gu[3 * p + 1] = gu1;
        r.gu[3 * p + 2] = gu2;
    }
}

INLINE void second_pairs(const Pairs &pairs, const Second &s, int64_t h, int64_t g) {
    const int64_t w = h + 2 * g;
    for (int64_t p = pairs.begin; p < pairs.end; ++p) {
        const int64_t i = pairs.to[p], j = pairs.from[p];
        const float *x = s.x + j * w, *phi = s.phi + p * w, *u = s.u + 3 * p;
        const float *a = s.a + j * w, *c = s.c + p * w, *e = s.e + 3 * p;
        const float *gs = s.gs + i * h, *gv = s.gv + i * 3 * g;
        float *m_gs = s.m_gs + i * h, *m_gv = s.m_gv + i * 3 * g;
        float *m_x = s.m_x + j * w, *m_phi = s.m_phi + p * w;
#pragma omp simd
        for (int64_t k = 0; k < h; ++k) {
            m_gs[k] += a[k] * phi[k] + x[k] * c[k];
            m_x[k] += gs[k] * c[k];
            m_phi[k] = gs[k] * a[k];
        }
        x += h, phi += h, a += h, c += h, m_x += h, m_phi += h;
#pragma omp simd
        for (int64_t k = 0; k < g; ++k) {
            const float x3 = x[g + k], phi3 = phi[g + k];
            const float a3 = a[g + k], c3 = c[g + k];
            const float along = gv[k] * u[0] + gv[g + k] * u[1] + gv[2 * g + k] * u[2];
            const float turned = gv[k] * e[0] + gv[g + k] * e[1] + gv[2 * g + k] * e[2];
            const float straight = a3 * phi3 + x3 * c3, m3 = x3 * phi3;
            m_gv[k] += u[0] * straight + e[0] * m3;
            m_gv[g + k] += u[1] * straight + e[1] * m3;
            m_gv[2 * g + k] += u[2] * straight + e[2] * m3;
            m_x[g + k] += along * c3 + turned * phi3;
            m_phi[g + k] = along * a3 + turned * x3;
        }
        if (s.v) {
            const float *v = s.v + j * 3 * g, *b = s.b + j * 3 * g;
            float *m_v = s.m_v + j * 3 * g;
#pragma omp simd
            for (int64_t k = 0; k < g; ++k) {
                const float x2 = x[k], phi2 = phi[k], a2 = a[k], c2 = c[k];
                const float dot =
                    gv[k] * v[k] + gv[g + k] * v[g + k] + gv[2 * g + k] * v[2 * g + k];
                const float dot_b =
                    gv[k] * b[k] + gv[g + k] * b[g + k] + gv[2 * g + k] * b[2 * g + k];
                const float direct = a2 * phi2 + x2 * c2, m2 = x2 * phi2;
                m_gv[k] += v[k] * direct + b[k] * m2;
                m_gv[g + k] += v[g + k] * direct + b[g + k] * m2;
                m_gv[2 * g + k] += v[2 * g + k] * direct + b[2 * g + k] * m2;
                m_x[k] += dot * c2 + dot_b * phi2;
                m_phi[k] = dot * a2 + dot_b * x2;
                m_v[k] += gv[k] * direct;
                m_v[g + k] += gv[g + k] * direct;
                m_v[2 * g + k] += gv[2 * g + k] * direct;
            }
        } else {
#pragma omp simd
            for (int64_t k = 0; k < g; ++k) m_phi[k] = 0;
        }
    }
}

// A constant number of channels lets the compiler unroll.
#define FOR_SIZE(name, Arguments, h, g)                                         \
    EVERY_PROCESSOR void name##_##h##_##g(const Pairs &p, const Arguments &a) { \
        name##_pairs(p, a, h, g);                                               \
    }
#define FOR_EVERY_SIZE(name, Arguments)                                                         \
    FOR_SIZE(name, Arguments, 32, 32)                                                           \
    FOR_SIZE(name, Arguments, 64, 64)                                                           \
    FOR_SIZE(name, Arguments, 128, 128)                                                         \
    FOR_SIZE(name, Arguments, 32, 16)                                                           \
    FOR_SIZE(name, Arguments, 64, 32)                                                           \
    FOR_SIZE(name, Arguments, 128, 64)                                                          \
    EVERY_PROCESSOR void name##_any(const Pairs &p, const Arguments &a, int64_t h, int64_t g) { \
        name##_pairs(p, a, h, g);                                                               \
    }                                                                                           \
    void name##_sized(const Pairs &p, const Arguments &a, int64_t h, int64_t g) {               \
        if (h == 32 && g == 32)                                                                 \
            return name##_32_32(p, a);                                                          \
        if (h == 64 && g == 64)                                                                 \
            return name##_64_64(p, a);                                                          \
        if (h == 128 && g == 128)                                                               \
            return name##_128_128(p, a);                                                        \
        if (h == 32 && g == 16)                                                                 \
            return name##_32_16(p, a);                                                          \
        if (h == 64 && g == 32)                                                                 \
            return name##_64_32(p, a);                                                          \
        if (h == 128 && g == 64)                                                                \
            return name##_128_64(p, a);                                                         \
        return name##_any(p, a, h, g);                                                          \
    }
FOR_EVERY_SIZE(forward, Forward)
FOR_EVERY_SIZE(reverse, Reverse)
FOR_EVERY_SIZE(second, Second)

// `lists`: i of each pair, j of each pair, first pair of each structure and the end.
template <typename Work>
void for_structures(const variable_list &lists, const Work &work) {
    const int64_t *first = lists[2].const_data_ptr<int64_t>();
    at::parallel_for(0, lists[2].size(0) - 1, 1, [&](int64_t begin, int64_t end) {
        work(Pairs{lists[0].const_data_ptr<int64_t>(), lists[1].const_data_ptr<int64_t>(),
                   first[begin], first[end]});
    });
}

// In the first block `v` has no elements.
const float *data(const at::Tensor &tensor) {
    return tensor.numel() > 0 ? tensor.const_data_ptr<float>() : nullptr;
}

float *written(at::Tensor &tensor) {
    return tensor.numel() > 0 ? tensor.data_ptr<float>() : nullptr;
}

// Adjoints that autograd left out are zero.
at::Tensor dense(const at::Tensor &adjoint, const at::Tensor &like) {
    return adjoint.defined() ? adjoint.contiguous() : at::zeros_like(like);
}

struct MessageReverse : Function<MessageReverse> {
    // (gs, gv, x, v, phi, u) -> (gx, gv_in, gphi, gu)
    static variable_list forward(AutogradContext *ctx, const at::Tensor &gs, const at::Tensor &gv,
                                 const at::Tensor &x, const at::Tensor &v, const at::Tensor &phi,
                                 const at::Tensor &u, const at::Tensor &to, const at::Tensor &from,
                                 const at::Tensor &first) {
        ctx->save_for_backward({gs, gv, x, v, phi, u, to, from, first});
        auto gx = at::zeros_like(x), gv_in = at::zeros_like(v);
        auto gphi = at::empty_like(phi), gu = at::empty_like(u);
        const Reverse arguments{data(gs), data(gv),    data(x),        data(v),       data(phi),
                                data(u),  written(gx), written(gv_in), written(gphi), written(gu)};
        for_structures({to, from, first}, [&](const Pairs &pairs) {
            reverse_sized(pairs, arguments, gs.size(1), gv.size(2));
        });
        return {gx, gv_in, gphi, gu};
    }

    static variable_list backward(AutogradContext *ctx, variable_list adjoints) {
        const auto saved = ctx->get_saved_variables();
        const auto &gs = saved[0], &gv = saved[1], &x = saved[2], &v = saved[3], &phi = saved[4],
                   &u = saved[5];
        const auto a = dense(adjoints[0], x), c = dense(adjoints[2], phi),
                   e = dense(adjoints[3], u);
        const auto b = dense(adjoints[1], v);
        auto m_gs = at::zeros_like(gs), m_gv = at::zeros_like(gv), m_x = at::zeros_like(x);
        auto m_v = at::zeros_like(v), m_phi = at::empty_like(phi);
        const Second arguments{data(a),      data(b),      data(c),       data(e),
                               data(gs),     data(gv),     data(x),       data(v),
                               data(phi),    data(u),      written(m_gs), written(m_gv),
                               written(m_x), written(m_v), written(m_phi)};
        for_structures({saved[6], saved[7], saved[8]}, [&](const Pairs &pairs) {
            second_sized(pairs, arguments, gs.size(1), gv.size(2));
        });
        // Nothing that is trained depends on u.
        return {m_gs,         m_gv,         m_x,          m_v,         m_phi,
                at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

struct Message : Function<Message> {
    // (x, v, phi, u) -> (ds, dv)
    static variable_list forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &v,
                                 const at::Tensor &phi, const at::Tensor &u, const at::Tensor &to,
                                 const at::Tensor &from, const at::Tensor &first, int64_t h) {
        ctx->save_for_backward({x, v, phi, u, to, from, first});
        ctx->saved_data["h"] = h;
        const int64_t atoms = x.size(0), g = (x.size(1) - h) / 2;
        auto ds = at::zeros({atoms, h}, x.options()), dv = at::zeros({atoms, 3, g}, x.options());
        const Forward arguments{data(x), data(v), data(phi), data(u), written(ds), written(dv)};
        for_structures({to, from, first},
                       [&](const Pairs &pairs) { forward_sized(pairs, arguments, h, g); });
        return {ds, dv};
    }

    static variable_list backward(AutogradContext *ctx, variable_list adjoints) {
        const auto saved = ctx->get_saved_variables();
        const auto &x = saved[0];
        const int64_t atoms = x.size(0), h = ctx->saved_data["h"].toInt(), g = (x.size(1) - h) / 2;
        const auto gs =
            adjoints[0].defined() ? adjoints[0].contiguous() : at::zeros({atoms, h}, x.options());
        const auto gv = adjoints[1].defined() ? adjoints[1].contiguous()
                                              : at::zeros({atoms, 3, g}, x.options());
        const auto found = MessageReverse::apply(gs, gv, x, saved[1], saved[2], saved[3], saved[4],
                                                 saved[5], saved[6]);
        return {found[0],     found[1],     found[2],     found[3],
                at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

}  // namespace

// All tensors float32 (lists int64), contiguous, on the CPU; `v` without elements in the first
// block; `h` scalars. Writes two new tensors, which the caller owns, and returns null; on failure
// returns a message that the caller frees with `free`.
extern "C" char *mlff_message(const at::Tensor *x, const at::Tensor *v, const at::Tensor *phi,
                              const at::Tensor *u, const at::Tensor *to, const at::Tensor *from,
                              const at::Tensor *first, int64_t h, at::Tensor **ds,
                              at::Tensor **dv) {
    try {
        const auto found = Message::apply(*x, *v, *phi, *u, *to, *from, *first, h);
        *ds = new at::Tensor(found[0]);
        *dv = new at::Tensor(found[1]);
        return nullptr;
    } catch (const std::exception &error) {
        return strdup(error.what());
    }
}
