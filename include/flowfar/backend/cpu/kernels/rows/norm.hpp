#pragma once

#include <cmath>

#include "flowfar/backend/cpu/kernels/gemm/bf16_rows.hpp"
#include "flowfar/backend/cpu/kernels/rows/per_row.hpp"
#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/core/handle.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cpu {

/// Layer norm and RMS norm with optional scale and shift, row by row, and rotary embedding.
struct Norm {
    /// What a normalized row is multiplied with and shifted by: n (gain + extra) + shift.
    struct Affine {
        PerRow gain;
        PerRow shift;
        float extra = 0.0F;
    };
    static Affine affine(const Handle& scale, const Handle& shift, const Extents& x, FactorKind kind) {
        return {{scale, x, "norm: scale"}, {shift, x, "norm: shift"}, kind == FactorKind::plus_one ? 1.0F : 0.0F};
    }

    /// The norm of x, then one scale and shift after the other. x has dense rows; y is contiguous, or a left operand of
    /// bf16 products (bf16_rows.hpp).
    template <std::size_t N>
    static void forward(const Handle& x, const std::array<Affine, N>& steps, const Handle& y, double epsilon,
                        NormKind kind) {
        const Index columns = x.extents().back();
        parallel_for(row_count(x.extents()), grain(columns), [&](Index begin, Index end) {
            PoolVector<float> wide(y.dtype == DType::bf16 ? static_cast<std::size_t>(columns) : 0);
            const auto row = [&](Index r, const auto& offset) __attribute__((always_inline)) {
                const float* const in = x.data<float>() + offset[0];
                float* const out = wide.empty() ? y.data<float>() + r * columns : wide.data();
                const auto [mean, rstd] = statistics(in, columns, epsilon, kind);
                normalize(in, out, columns, mean, rstd, steps[0], r);
                for (std::size_t i = 1; i < N; ++i) {
                    apply(out, columns, steps[i], r);
                }
#if defined(FLOWFAR_AVX512_BF16)
                if (!wide.empty()) {
                    bf16_product::store_row(out, columns, y.data<bf16>() + r * y.layout.stride(y.rank() - 2));
                }
#endif
            };
            with_instructions(
                [&]() __attribute__((always_inline)) { for_each_row<1>(x.extents(), {&x.layout}, begin, end, row); });
        });
    }

    /// dx, and d_scale and d_shift where defined (contiguous, shaped like the operands).
    static void backward(const Handle& x, const Handle& scale, const Handle& g, const Handle& dx, const Handle& d_scale,
                         const Handle& d_shift, NormOptions options, NormKind kind) {
        const Index columns = x.extents().back();
        const Index rows = row_count(x.extents());
        const PerRow gains(scale, x.extents(), "norm: scale");
        static_cast<void>(PerRow(d_shift, x.extents(), "norm: shift"));
        const float extra = options.plus_one ? 1.0F : 0.0F;
        // Rows are handled in fixed blocks inside one batch element, each with its own partial sums, so that the
        // parameter gradients do not depend on the number of threads.
        const Handle& operand = d_scale.defined() ? d_scale : d_shift;
        const Index groups = operand.defined() && operand.rank() == 2 ? operand.extents()[0] : 1;
        const Index per_group = rows / std::max<Index>(groups, 1);
        const Index block =
            std::min(std::max<Index>(per_group, 1), std::max<Index>(16, 32768 / std::max<Index>(columns, 1)));
        const Index blocks = (per_group + block - 1) / block;
        const std::size_t partial = static_cast<std::size_t>(groups * blocks * columns);
        PoolVector<float> scale_sums(d_scale.defined() ? partial : 0);
        PoolVector<float> shift_sums(d_shift.defined() ? partial : 0);
        parallel_for(groups * blocks, 1, [&](Index task_begin, Index task_end) {
            for (Index task = task_begin; task < task_end; ++task) {
                const Index first = task / blocks * per_group + task % blocks * block;
                const Index last = std::min(first + block, (task / blocks + 1) * per_group);
                float* const ds = scale_sums.empty() ? nullptr : scale_sums.data() + task * columns;
                float* const db = shift_sums.empty() ? nullptr : shift_sums.data() + task * columns;
                for_each_row<2>(x.extents(), {&x.layout, &g.layout}, first, last, [&](Index r, const auto& offset) {
                    with_instructions([&]() __attribute__((always_inline)) {
                        backward_row(x.data<float>() + offset[0], g.data<float>() + offset[1], gains.row(r), extra,
                                     dx.data<float>() + r * columns, ds, db, columns, options.epsilon, kind);
                    });
                });
            }
        });
        const auto collect = [&](const PoolVector<float>& sums, const Handle& out) {
            for (Index group = 0; out.defined() && group < groups; ++group) {
                for (Index i = 0; i < columns; ++i) {
                    double total = 0.0;
                    for (Index b = 0; b < blocks; ++b) {
                        total += sums[static_cast<std::size_t>((group * blocks + b) * columns + i)];
                    }
                    out.data<float>()[group * columns + i] = static_cast<float>(total);
                }
            }
        };
        collect(scale_sums, d_scale);
        collect(shift_sums, d_shift);
    }

    /// x [batch, heads, tokens, D] with dense rows; cos and sin [tokens, D/2] contiguous; y in x's layout order.
    static void rope(const Handle& x, const Handle& cos, const Handle& sin, const Handle& y, Rotation rotation) {
        const Index pairs = x.extents().back() / 2;
        const Index tokens = x.extents()[x.rank() - 2];
        const float sign = rotation == Rotation::inverse ? -1.0F : 1.0F;
        parallel_for(row_count(x.extents()), grain(2 * pairs), [&](Index begin, Index end) {
            const auto row = [&](Index r, const auto& offset) __attribute__((always_inline)) {
                const float* const in = x.data<float>() + offset[0];
                float* const __restrict out = y.data<float>() + offset[1];
                const float* const c = cos.data<float>() + r % tokens * pairs;
                const float* const s = sin.data<float>() + r % tokens * pairs;
                for (Index k = 0; k < pairs; ++k) {
                    const float a = in[2 * k];
                    const float b = in[2 * k + 1];
                    const float cosine = c[k];
                    const float sine = sign * s[k];
                    out[2 * k] = a * cosine - b * sine;
                    out[2 * k + 1] = a * sine + b * cosine;
                }
            };
            with_instructions([&]() __attribute__((always_inline)) {
                for_each_row<2>(x.extents(), {&x.layout, &y.layout}, begin, end, row);
            });
        });
    }

   private:
    static Index grain(Index columns) { return std::max<Index>(1, elementwise_grain / std::max<Index>(columns, 1)); }

    struct Statistics {
        float mean;
        float rstd;
    };
    [[gnu::always_inline]] static inline Statistics statistics(const float* x, Index count, double epsilon,
                                                               NormKind kind) {
        const auto n = static_cast<float>(count);
        const auto value = [x](Index i) __attribute__((always_inline)) { return x[i]; };
        const float mean = kind == NormKind::layer ? sum_of(count, value) / n : 0.0F;
        const auto deviation = [x, mean](Index i)
                                   __attribute__((always_inline)) { return (x[i] - mean) * (x[i] - mean); };
        const float square = sum_of(count, deviation);
        return {mean, 1.0F / std::sqrt(square / n + static_cast<float>(epsilon))};
    }

    /// out = (in − mean) rstd, scaled and shifted.
    [[gnu::always_inline]] static inline void normalize(const float* in, float* __restrict out, Index columns,
                                                        float mean, float rstd, const Affine& step, Index row) {
        const float* const gain = step.gain.row(row);
        const float* const add = step.shift.row(row);
        const float extra = step.extra;
        // One loop per case: the compiler vectorizes none that chooses inside.
        if (gain != nullptr && add != nullptr) {
            for (Index i = 0; i < columns; ++i) {
                out[i] = (in[i] - mean) * rstd * (gain[i] + extra) + add[i];
            }
        } else if (gain != nullptr) {
            for (Index i = 0; i < columns; ++i) {
                out[i] = (in[i] - mean) * rstd * (gain[i] + extra);
            }
        } else if (add != nullptr) {
            for (Index i = 0; i < columns; ++i) {
                out[i] = (in[i] - mean) * rstd + add[i];
            }
        } else {
            for (Index i = 0; i < columns; ++i) {
                out[i] = (in[i] - mean) * rstd;
            }
        }
    }
    /// y, scaled and shifted in place.
    [[gnu::always_inline]] static inline void apply(float* __restrict y, Index columns, const Affine& step, Index row) {
        const float* const gain = step.gain.row(row);
        const float* const add = step.shift.row(row);
        const float extra = step.extra;
        for (Index i = 0; gain != nullptr && i < columns; ++i) {
            y[i] *= gain[i] + extra;
        }
        for (Index i = 0; add != nullptr && i < columns; ++i) {
            y[i] += add[i];
        }
    }

    /// Sum of f(i) over i < count in 32 sums side by side, which rounds less than one running sum and vectorizes.
    template <class F>
    [[gnu::always_inline]] static inline float sum_of(Index count, F&& f) {
        constexpr Index lanes = 32;
        float sums[lanes] = {};
        Index i = 0;
        for (; i + lanes <= count; i += lanes) {
            for (Index lane = 0; lane < lanes; ++lane) {
                sums[lane] += f(i + lane);
            }
        }
        Index lane = 0;
        const auto add = [&]<Index width>(std::integral_constant<Index, width>) __attribute__((always_inline)) {
            if (i + width <= count) {
                for (Index k = 0; k < width; ++k) {
                    sums[lane + k] += f(i + k);
                }
                i += width;
                lane += width;
            }
        };
        add(std::integral_constant<Index, 16>{});  // the rest in lengths that the compiler knows: rows are often short
        add(std::integral_constant<Index, 8>{});
        add(std::integral_constant<Index, 4>{});
        for (; i < count; ++i, ++lane) {
            sums[lane] += f(i);
        }
        float eight[8];
        for (lane = 0; lane < 8; ++lane) {
            eight[lane] = (sums[lane] + sums[lane + 8]) + (sums[lane + 16] + sums[lane + 24]);
        }
        return ((eight[0] + eight[4]) + (eight[1] + eight[5])) + ((eight[2] + eight[6]) + (eight[3] + eight[7]));
    }
    /// With n the normalized row and h = g · scale: dx = rstd (h − mean(h) − n mean(h n)); RMS norm lacks mean(h).
    [[gnu::always_inline]] static inline void backward_row(const float* x, const float* g, const float* gain,
                                                           float extra, float* dx, float* d_scale, float* d_shift,
                                                           Index columns, double epsilon, NormKind kind) {
        const auto stats = statistics(x, columns, epsilon, kind);
        const float mean = stats.mean;
        const float rstd = stats.rstd;
        const auto count = static_cast<float>(columns);
        // dx holds h first.
        if (gain == nullptr) {
            for (Index i = 0; i < columns; ++i) {
                dx[i] = g[i];
            }
        } else {
            for (Index i = 0; i < columns; ++i) {
                dx[i] = g[i] * (gain[i] + extra);
            }
        }
        const auto h = [dx](Index i) __attribute__((always_inline)) { return dx[i]; };
        const auto hn = [dx, x, mean](Index i) __attribute__((always_inline)) { return dx[i] * (x[i] - mean); };
        const float mean_h = kind == NormKind::layer ? sum_of(columns, h) / count : 0.0F;
        const float mean_hn = sum_of(columns, hn) * rstd / count;
        for (Index i = 0; i < columns; ++i) {
            dx[i] = rstd * (dx[i] - mean_h - (x[i] - mean) * rstd * mean_hn);
        }
        if (d_scale != nullptr) {
            for (Index i = 0; i < columns; ++i) {
                d_scale[i] += g[i] * ((x[i] - mean) * rstd);
            }
        }
        if (d_shift != nullptr) {
            for (Index i = 0; i < columns; ++i) {
                d_shift[i] += g[i];
            }
        }
    }
};

}  // namespace flowfar::cpu
