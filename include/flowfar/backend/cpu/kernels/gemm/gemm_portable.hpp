#pragma once

/// Tiles of the f32 matrix product in Eigen's packets: the instructions that the compiler's flags allow.

#include <Eigen/Core>

#include "flowfar/backend/cpu/kernels/gemm/gemm_kernel.hpp"

namespace flowfar::cpu::product {

template <class F, int... I>
EIGEN_ALWAYS_INLINE void unroll(F&& f, std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
}
/// f(0), …, f(N - 1) with constants as arguments, so that arrays they index can live in registers.
template <int N, class F>
EIGEN_ALWAYS_INLINE void unroll(F&& f) {
    unroll(f, std::make_integer_sequence<int, N>{});
}

/// A square of N · N elements in registers, read by rows and used by columns.
template <int N>
class Square {
    using Line = typename Eigen::internal::find_best_packet<float, N>::type;

   public:
    EIGEN_ALWAYS_INLINE Square(const float* from, Index stride) {
        unroll<N>([&](auto i) { lines_.packet[i] = Eigen::internal::ploadu<Line>(from + i * stride); });
        Eigen::internal::ptranspose(lines_);
    }
    template <int I>
    [[nodiscard]] EIGEN_ALWAYS_INLINE const Line& column() const {
        return lines_.packet[I];
    }

   private:
    Eigen::internal::PacketBlock<Line, N> lines_;
};

struct Portable {
    using Packet = Eigen::internal::packet_traits<float>::type;

    static constexpr Index lanes = Eigen::internal::packet_traits<float>::size;
    static constexpr int registers = Eigen::internal::gebp_traits<float, float>::NumberOfRegisters;

    template <int Rows, int Vectors>
    [[gnu::flatten]] static void tile(const float* a, const float* b, Index ldb, Index depth, float alpha, bool add,
                                      float* c, Index ldc) {
        using namespace Eigen::internal;
        Packet sum[Rows][Vectors];
        unroll<Rows>([&](auto r) { unroll<Vectors>([&](auto v) { sum[r][v] = pset1<Packet>(0.0F); }); });
        for (Index k = 0; k < depth; ++k) {
            Packet right[Vectors];
            unroll<Vectors>([&](auto v) { right[v] = ploadu<Packet>(b + v * lanes); });
            unroll<Rows>([&](auto r) {
                const Packet left = pset1<Packet>(a[r * left_stride]);
                unroll<Vectors>([&](auto v) { sum[r][v] = pmadd(left, right[v], sum[r][v]); });
            });
            ++a;
            b += ldb;
        }
        put(sum, alpha, add, c, ldc);
    }

    template <int Rows, int Squares>
    [[gnu::flatten]] static void thin_tile(const float* a, const float* b, Index ldb, Index depth, float alpha,
                                           bool add, float* c, Index ldc) {
        using namespace Eigen::internal;
        Packet sum[Rows][Squares];
        unroll<Rows>([&](auto r) { unroll<Squares>([&](auto s) { sum[r][s] = pset1<Packet>(0.0F); }); });
        Index k = 0;
        for (; k + lanes <= depth; k += lanes) {
            unroll<Squares>([&](auto s) {
                const Square<lanes> square(b + s * lanes * ldb + k, ldb);
                unroll<lanes>([&](auto i) {
                    unroll<Rows>([&](auto r) {
                        sum[r][s] =
                            pmadd(pset1<Packet>(a[r * left_stride + k + i]), square.template column<i>(), sum[r][s]);
                    });
                });
            });
        }
        if (k < depth) {
            alignas(64) std::array<float, lanes * lanes * Squares> rest;
            transpose(b + k, ldb, lanes * Squares, depth - k, rest.data(), lanes * Squares);
            for (Index i = 0; k < depth; ++k, ++i) {
                unroll<Rows>([&](auto r) {
                    const Packet left = pset1<Packet>(a[r * left_stride + k]);
                    unroll<Squares>([&](auto s) {
                        sum[r][s] = pmadd(left, pload<Packet>(rest.data() + (i * Squares + s) * lanes), sum[r][s]);
                    });
                });
            }
        }
        put(sum, alpha, add, c, ldc);
    }

    /// By squares of N elements.
    template <int N = lanes>
    [[gnu::flatten]] static void transpose(const float* from, Index from_stride, Index rows, Index columns, float* to,
                                           Index to_stride) {
        if constexpr (N < 4) {
            for (Index row = 0; row < rows; ++row) {
                for (Index column = 0; column < columns; ++column) {
                    to[column * to_stride + row] = from[row * from_stride + column];
                }
            }
        } else {
            const Index whole_rows = rows / N * N;
            const Index whole_columns = columns / N * N;
            for (Index row = 0; row < whole_rows; row += N) {
                for (Index column = 0; column < whole_columns; column += N) {
                    const Square<N> square(from + row * from_stride + column, from_stride);
                    unroll<N>([&](auto i) {
                        Eigen::internal::pstoreu(to + (column + i) * to_stride + row, square.template column<i>());
                    });
                }
            }
            if (whole_columns < columns) {
                transpose<N / 2>(from + whole_columns, from_stride, rows, columns - whole_columns,
                                 to + whole_columns * to_stride, to_stride);
            }
            if (whole_rows < rows) {
                transpose<N / 2>(from + whole_rows * from_stride, from_stride, rows - whole_rows, whole_columns,
                                 to + whole_rows, to_stride);
            }
        }
    }

   private:
    /// c (+)= alpha · sum
    template <int Rows, int Vectors>
    static void put(const Packet (&sum)[Rows][Vectors], float alpha, bool add, float* c, Index ldc) {
        using namespace Eigen::internal;
        const Packet scale = pset1<Packet>(alpha);
        unroll<Rows>([&](auto r) {
            unroll<Vectors>([&](auto v) {
                float* const to = c + r * ldc + v * lanes;
                pstoreu(to, add ? pmadd(scale, sum[r][v], ploadu<Packet>(to)) : pmul(scale, sum[r][v]));
            });
        });
    }
};

}  // namespace flowfar::cpu::product
