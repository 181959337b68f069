#pragma once

#include <limits>

#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/backend/cpu/kernels/rows/vector_forms.hpp"
#include "flowfar/core/handle.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar::cpu {

/// Reductions and softmax. Sums run in an order that depends on the shape alone, so results do not change with the
/// number of threads; partial sums of at most `reduction_piece` elements are added in double.
inline constexpr Index reduction_piece = 4096;

struct Reduce {
    /// x is contiguous and seen as [outer, middle, inner]; out [outer, inner] is the reduction over the middle.
    static void block(const float* x, float* out, Index outer, Index middle, Index inner, ReduceOp op) {
        const double divisor = op == ReduceOp::mean ? static_cast<double>(middle) : 1.0;
        if (inner == 1) {
            const Index pieces = std::max<Index>(1, (middle + reduction_piece - 1) / reduction_piece);
            PoolVector<double> partial(static_cast<std::size_t>(outer * pieces));
            const Index grain =
                std::max<Index>(1, elementwise_grain / std::min(std::max<Index>(middle, 1), reduction_piece));
            parallel_for(outer * pieces, grain, [&](Index begin, Index end) {
                for (Index p = begin; p < end; ++p) {
                    const Index first = p % pieces * reduction_piece;
                    const Index count = std::min(reduction_piece, middle - first);
                    partial[static_cast<std::size_t>(p)] = row(x + p / pieces * middle + first, count, op);
                }
            });
            for (Index o = 0; o < outer; ++o) {
                double total = partial[static_cast<std::size_t>(o * pieces)];
                for (Index p = 1; p < pieces; ++p) {
                    const double value = partial[static_cast<std::size_t>(o * pieces + p)];
                    total = op == ReduceOp::max ? std::max(total, value) : total + value;
                }
                out[o] = static_cast<float>(total / divisor);
            }
            return;
        }
        // Narrower stripes where there would be too few for the threads; a column's sum does not depend on them.
        const Index tasks = outer * ((inner + stripe - 1) / stripe);
        const bool narrow = tasks < 2 * ThreadPool::instance().threads() && middle * inner > elementwise_grain;
        const Index width = narrow ? stripe / 4 : stripe;
        const Index stripes = (inner + width - 1) / width;
        parallel_for(outer * stripes, std::max<Index>(1, elementwise_grain / std::max<Index>(middle * width, 1)),
                     [&](Index begin, Index end) {
                         for (Index task = begin; task < end; ++task) {
                             const Index first = task % stripes * width;
                             columns(x + task / stripes * middle * inner + first, out + task / stripes * inner + first,
                                     middle, inner, std::min(width, inner - first), op, divisor);
                         }
                     });
    }

    static void softmax(const float* x, float* y, Index rows, Index columns, SoftmaxKind kind) {
        parallel_for(rows, std::max<Index>(1, elementwise_grain / std::max<Index>(columns, 1)),
                     [&](Index begin, Index end) {
                         for (Index r = begin; r < end; ++r) {
                             softmax_row(x + r * columns, y + r * columns, columns, kind);
                         }
                     });
    }

   private:
    static constexpr Index stripe = 128;  ///< columns per task: their partial sums stay in registers and first cache

    /// The reduction of no numbers.
    template <ReduceOp Op>
    static constexpr float start = Op == ReduceOp::max ? -std::numeric_limits<float>::infinity() : 0.0F;
    /// The reduction of what has been reduced and one number more.
    template <ReduceOp Op, class T>
    [[gnu::always_inline]] static inline T joined(T total, float value) {
        if constexpr (Op == ReduceOp::max) {
            return total < value ? value : total;
        } else {
            return total + (Op == ReduceOp::sum_squares ? value * value : value);
        }
    }

    static double row(const float* x, Index count, ReduceOp op) {
        switch (op) {
            case ReduceOp::max:
                return row<ReduceOp::max>(x, count);
            case ReduceOp::sum_squares:
                return row<ReduceOp::sum_squares>(x, count);
            default:
                return row<ReduceOp::sum>(x, count);
        }
    }
    template <ReduceOp Op>
    static double row(const float* x, Index count) {
        // 32 results side by side, so that the loop vectorizes without reordering permission.
        constexpr Index lanes = 32;
        std::array<float, lanes> parts;
        const Index whole = count / lanes * lanes;
        with_instructions([&, out = parts.data()]() __attribute__((always_inline)) {
            float side[lanes];
            for (Index lane = 0; lane < lanes; ++lane) {
                side[lane] = start<Op>;
            }
            for (Index i = 0; i < whole; i += lanes) {
                for (Index lane = 0; lane < lanes; ++lane) {
                    side[lane] = joined<Op>(side[lane], x[i + lane]);
                }
            }
            for (Index lane = 0; lane < lanes; ++lane) {
                out[lane] = side[lane];
            }
        });
        double total = start<Op>;
        for (Index i = whole; i < count; ++i) {
            total = joined<Op>(total, x[i]);
        }
        for (const float part : parts) {
            total = Op == ReduceOp::max ? std::max<double>(total, part) : total + part;
        }
        return total;
    }
    static void columns(const float* x, float* out, Index middle, Index stride, Index count, ReduceOp op,
                        double divisor) {
        switch (op) {
            case ReduceOp::max:
                return columns<ReduceOp::max>(x, out, middle, stride, count, divisor);
            case ReduceOp::sum_squares:
                return columns<ReduceOp::sum_squares>(x, out, middle, stride, count, divisor);
            default:
                return columns<ReduceOp::sum>(x, out, middle, stride, count, divisor);
        }
    }
    template <ReduceOp Op>
    static void columns(const float* x, float* out, Index middle, Index stride, Index count, double divisor) {
        std::array<double, stripe> total;
        total.fill(start<Op>);
        std::array<float, stripe> piece;
        for (Index first = 0; first < middle; first += 64) {
            const Index last = std::min(first + 64, middle);
            piece.fill(start<Op>);
            with_instructions([&, data = piece.data()]() __attribute__((always_inline)) {
                float* const __restrict sums = data;
                for (Index m = first; m < last; ++m) {
                    const float* const in = x + m * stride;
                    for (Index i = 0; i < count; ++i) {
                        sums[i] = joined<Op>(sums[i], in[i]);
                    }
                }
            });
            for (std::size_t k = 0; k < stripe; ++k) {
                total[k] = Op == ReduceOp::max ? std::max<double>(total[k], piece[k]) : total[k] + piece[k];
            }
        }
        for (Index i = 0; i < count; ++i) {
            out[i] = static_cast<float>(total[static_cast<std::size_t>(i)] / divisor);
        }
    }
    static void softmax_row(const float* x, float* y, Index count, SoftmaxKind kind) {
        if (count == 0) {
            return;
        }
        const float peak = row_peak(x, count);
        static_cast<void>(exponentials(x, count, peak, y));
        const double total = row<ReduceOp::sum>(y, count);
        const float offset = peak + static_cast<float>(std::log(total));
        const auto factor = static_cast<float>(1.0 / total);
        const bool logarithm = kind == SoftmaxKind::logarithms;
        with_instructions([=]() __attribute__((always_inline)) {
            for (Index i = 0; i < count; ++i) {
                y[i] = logarithm ? x[i] - offset : y[i] * factor;
            }
        });
    }
};

}  // namespace flowfar::cpu
