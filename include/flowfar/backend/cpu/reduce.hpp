#pragma once

#include <limits>

#include "flowfar/backend/cpu/elementwise.hpp"
#include "flowfar/core/pool.hpp"

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
        constexpr Index stripe = 128;  // columns per task: their partial sums stay in registers and first cache
        const Index stripes = (inner + stripe - 1) / stripe;
        parallel_for(outer * stripes, std::max<Index>(1, elementwise_grain / std::max<Index>(middle * stripe, 1)),
                     [&](Index begin, Index end) {
                         for (Index task = begin; task < end; ++task) {
                             const Index first = task % stripes * stripe;
                             columns(x + task / stripes * middle * inner + first, out + task / stripes * inner + first,
                                     middle, inner, std::min(stripe, inner - first), op, divisor);
                         }
                     });
    }

    static void softmax(const float* x, float* y, Index rows, Index columns, bool logarithm) {
        parallel_for(rows, std::max<Index>(1, elementwise_grain / std::max<Index>(columns, 1)),
                     [&](Index begin, Index end) {
                         for (Index r = begin; r < end; ++r) {
                             softmax_row(x + r * columns, y + r * columns, columns, logarithm);
                         }
                     });
    }

   private:
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
        constexpr bool max = Op == ReduceOp::max;
        constexpr float start = max ? -std::numeric_limits<float>::infinity() : 0.0F;
        const auto join = [x](auto total, Index i) __attribute__((always_inline)) {
            const float value = x[i];
            return max ? (total < value ? value : total)
                       : total + (Op == ReduceOp::sum_squares ? value * value : value);
        };
        // 32 results side by side, so that the loop vectorises without reordering permission.
        constexpr Index lanes = 32;
        std::array<float, lanes> parts;
        const Index whole = count / lanes * lanes;
        with_instructions([&, out = parts.data() ]() __attribute__((always_inline)) {
            float side[lanes];
            for (Index lane = 0; lane < lanes; ++lane) {
                side[lane] = start;
            }
            for (Index i = 0; i < whole; i += lanes) {
                for (Index lane = 0; lane < lanes; ++lane) {
                    side[lane] = join(side[lane], i + lane);
                }
            }
            for (Index lane = 0; lane < lanes; ++lane) {
                out[lane] = side[lane];
            }
        });
        double total = start;
        for (Index i = whole; i < count; ++i) {
            total = join(total, i);
        }
        for (const float part : parts) {
            total = max ? std::max<double>(total, part) : total + part;
        }
        return total;
    }
    static void columns(const float* x, float* out, Index middle, Index stride, Index count, ReduceOp op,
                        double divisor) {
        std::array<double, 128> total{};
        std::array<float, 128> piece{};
        if (op == ReduceOp::max) {
            total.fill(-std::numeric_limits<double>::infinity());
        }
        for (Index first = 0; first < middle; first += 64) {
            const Index last = std::min(first + 64, middle);
            piece.fill(op == ReduceOp::max ? -std::numeric_limits<float>::infinity() : 0.0F);
            with_instructions([&, sums = piece.data() ]() __attribute__((always_inline)) {
                for (Index m = first; m < last; ++m) {
                    const float* const in = x + m * stride;
                    for (Index i = 0; i < count; ++i) {
                        const float value = in[i];
                        sums[i] = op == ReduceOp::max           ? std::max(sums[i], value)
                                  : op == ReduceOp::sum_squares ? sums[i] + value * value
                                                                : sums[i] + value;
                    }
                }
            });
            for (std::size_t k = 0; k < 128; ++k) {
                total[k] = op == ReduceOp::max ? std::max<double>(total[k], piece[k]) : total[k] + piece[k];
            }
        }
        for (Index i = 0; i < count; ++i) {
            out[i] = static_cast<float>(total[static_cast<std::size_t>(i)] / divisor);
        }
    }
    static void softmax_row(const float* x, float* y, Index count, bool logarithm) {
        if (count == 0) {
            return;
        }
        const float peak = row_peak(x, count);
        static_cast<void>(exponentials(x, count, peak, y));
        const double total = row<ReduceOp::sum>(y, count);
        const float offset = peak + static_cast<float>(std::log(total));
        const auto factor = static_cast<float>(1.0 / total);
        with_instructions([=]() __attribute__((always_inline)) {
            for (Index i = 0; i < count; ++i) {
                y[i] = logarithm ? x[i] - offset : y[i] * factor;
            }
        });
    }
};

}  // namespace flowfar::cpu
