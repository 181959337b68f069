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
        if (op == ReduceOp::max) {
            float best = -std::numeric_limits<float>::infinity();
            for (Index i = 0; i < count; ++i) {
                best = std::max(best, x[i]);
            }
            return best;
        }
        // 16 independent sums, so that the loop vectorises without reordering permission.
        float lanes[16] = {};
        Index i = 0;
        const bool squares = op == ReduceOp::sum_squares;
        for (; i + 16 <= count; i += 16) {
            for (int lane = 0; lane < 16; ++lane) {
                const float value = x[i + lane];
                lanes[lane] += squares ? value * value : value;
            }
        }
        double total = 0.0;
        for (; i < count; ++i) {
            const float value = x[i];
            total += squares ? value * value : value;
        }
        for (const float lane : lanes) {
            total += lane;
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
            for (Index m = first; m < last; ++m) {
                const float* const in = x + m * stride;
                for (Index i = 0; i < count; ++i) {
                    const auto k = static_cast<std::size_t>(i);
                    const float value = in[i];
                    piece[k] = op == ReduceOp::max           ? std::max(piece[k], value)
                               : op == ReduceOp::sum_squares ? piece[k] + value * value
                                                             : piece[k] + value;
                }
            }
            for (std::size_t k = 0; k < 128; ++k) {
                total[k] = op == ReduceOp::max ? std::max<double>(total[k], piece[k]) : total[k] + piece[k];
            }
        }
        for (Index i = 0; i < count; ++i) {
            out[i] = static_cast<float>(total[static_cast<std::size_t>(i)] / divisor);
        }
    }
    static void softmax_row(const float* x, float* y, Index count, bool logarithm) {
        float peak = -std::numeric_limits<float>::infinity();
        for (Index i = 0; i < count; ++i) {
            peak = std::max(peak, x[i]);
        }
        Row out(y, count);
        out = ConstRow(x, count) - peak;
        vector_forward<UnaryOp::exp>(y, y, count);
        const double sum = row(y, count, ReduceOp::sum);
        if (logarithm) {
            out = ConstRow(x, count) - (peak + static_cast<float>(std::log(sum)));
        } else {
            out *= static_cast<float>(1.0 / sum);
        }
    }
};

}  // namespace flowfar::cpu
