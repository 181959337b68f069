#pragma once

#include <cmath>

#include "flowfar/backend/cpu/elementwise.hpp"
#include "flowfar/core/pool.hpp"

namespace flowfar::cpu {

/// Layer norm and RMS norm with optional scale and shift, row by row, and rotary embedding.
struct Norm {
    /// Row r of a [C] or [batch, C] operand, for x with `rows_per_batch` rows per batch element.
    struct PerRow {
        const float* data = nullptr;
        Index stride = 0;          ///< from one row to the next
        Index rows_per_group = 0;  ///< 0: one row for all

        [[nodiscard]] const float* row(Index r) const {
            return data == nullptr || rows_per_group == 0 ? data : data + r / rows_per_group * stride;
        }
    };
    static PerRow per_row(const Handle& operand, const Extents& x) {
        if (!operand.defined()) {
            return {};
        }
        const Extents& e = operand.extents();
        const Index columns = x.back();
        const Index rows = row_count(x);
        require(e.back() == columns && (e.rank() == 1 || (e.rank() == 2 && (e[0] == x[0] || e[0] == 1))),
                "norm: scale or shift ", e, " for input ", x);
        return {operand.data<float>(), operand.layout.stride(0), e.rank() == 2 ? rows / std::max<Index>(e[0], 1) : 0};
    }

    /// x, scale and shift have dense rows; y is contiguous. `centre` chooses layer norm, else RMS norm.
    static void forward(const Handle& x, const Handle& scale, const Handle& shift, const Handle& y, NormOptions options,
                        bool centre) {
        const Index columns = x.extents().back();
        const Index rows = row_count(x.extents());
        const PerRow gains = per_row(scale, x.extents());
        const PerRow offsets = per_row(shift, x.extents());
        const float extra = options.plus_one ? 1.0F : 0.0F;
        parallel_for(rows, grain(columns), [&](Index begin, Index end) {
            for_each_row<1>(x.extents(), {&x.layout}, begin, end, [&](Index r, const auto& offset) {
                const float* const in = x.data<float>() + offset[0];
                float* const out = y.data<float>() + r * columns;
                const auto [mean, rstd] = statistics(in, columns, options.epsilon, centre);
                const float* const gain = gains.row(r);
                const float* const add = offsets.row(r);
                // One loop per case: the compiler vectorises none that chooses inside.
                if (gain == nullptr) {
                    for (Index i = 0; i < columns; ++i) {
                        out[i] = (in[i] - mean) * rstd;
                    }
                } else if (add == nullptr) {
                    for (Index i = 0; i < columns; ++i) {
                        out[i] = (in[i] - mean) * rstd * (gain[i] + extra);
                    }
                    return;
                } else {
                    for (Index i = 0; i < columns; ++i) {
                        out[i] = (in[i] - mean) * rstd * (gain[i] + extra) + add[i];
                    }
                    return;
                }
                for (Index i = 0; add != nullptr && i < columns; ++i) {
                    out[i] += add[i];
                }
            });
        });
    }

    /// dx, and d_scale and d_shift where defined (contiguous, shaped like the operands).
    static void backward(const Handle& x, const Handle& scale, const Handle& g, const Handle& dx, const Handle& d_scale,
                         const Handle& d_shift, NormOptions options, bool centre) {
        const Index columns = x.extents().back();
        const Index rows = row_count(x.extents());
        const PerRow gains = per_row(scale, x.extents());
        static_cast<void>(per_row(d_shift, x.extents()));
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
                    backward_row(x.data<float>() + offset[0], g.data<float>() + offset[1], gains.row(r), extra,
                                 dx.data<float>() + r * columns, ds, db, columns, options.epsilon, centre);
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
    static void rope(const Handle& x, const Handle& cos, const Handle& sin, const Handle& y, bool inverse) {
        const Index pairs = x.extents().back() / 2;
        const Index tokens = x.extents()[x.rank() - 2];
        const float sign = inverse ? -1.0F : 1.0F;
        parallel_for(row_count(x.extents()), grain(2 * pairs), [&](Index begin, Index end) {
            for_each_row<2>(x.extents(), {&x.layout, &y.layout}, begin, end, [&](Index r, const auto& offset) {
                const float* const in = x.data<float>() + offset[0];
                float* const out = y.data<float>() + offset[1];
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
            });
        });
    }

   private:
    static Index grain(Index columns) { return std::max<Index>(1, elementwise_grain / std::max<Index>(columns, 1)); }

    struct Statistics {
        float mean;
        float rstd;
    };
    static Statistics statistics(const float* x, Index count, double epsilon, bool centre) {
        const auto n = static_cast<float>(count);
        const float mean = centre ? sum_of(count, [x](auto at) { return at(x); }) / n : 0.0F;
        const float square = sum_of(count, [x, mean](auto at) { return (at(x) - mean) * (at(x) - mean); });
        return {mean, 1.0F / std::sqrt(square / n + static_cast<float>(epsilon))};
    }

    /// Numbers that a sum adds side by side: two vectors of the widest registers, and a head's width is a multiple.
    static constexpr int sum_lanes = 32;
    using Lanes = Eigen::Array<float, sum_lanes, 1>;

    /// Sum over i < count of an expression f(at) in rows of numbers at(row): of 32 at a time, then of the rest. Rounds
    /// less than one running sum.
    template <class F>
    static float sum_of(Index count, F&& f) {
        Lanes total = Lanes::Zero();
        Index i = 0;
        for (; i + sum_lanes <= count; i += sum_lanes) {
            total += f([i](const float* row) { return Eigen::Map<const Lanes>(row + i); });
        }
        float rest = 0;
        for (; i < count; ++i) {
            rest += f([i](const float* row) { return row[i]; });
        }
        return total.sum() + rest;
    }
    /// With n the normalised row and h = g · scale: dx = rstd (h − mean(h) − n mean(h n)); RMS norm lacks mean(h).
    static void backward_row(const float* x, const float* g, const float* gain, float extra, float* dx, float* d_scale,
                             float* d_shift, Index columns, double epsilon, bool centre) {
        const auto stats = statistics(x, columns, epsilon, centre);
        const float mean = stats.mean;
        const float rstd = stats.rstd;
        const auto count = static_cast<float>(columns);
        // dx holds h first.
        if (gain == nullptr) {
            std::copy_n(g, columns, dx);
        } else {
            for (Index i = 0; i < columns; ++i) {
                dx[i] = g[i] * (gain[i] + extra);
            }
        }
        const float mean_h = centre ? sum_of(columns, [dx](auto at) { return at(dx); }) / count : 0.0F;
        const float mean_hn = sum_of(columns, [=](auto at) { return at(dx) * (at(x) - mean); }) * rstd / count;
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
