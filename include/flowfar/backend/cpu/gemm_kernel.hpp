#pragma once

/// The inner part of the f32 matrix product: a register tile of the result, and the copies of its operands into the
/// order in which the tile reads them (Goto & van de Geijn 2008; Van Zee & van de Geijn 2015).
///
/// Every element is the same sequence of operations, wherever it lies in the result and however that is divided among
/// tiles and threads: for each block of `depth_block` products one chain of multiply-adds that starts at zero, then
/// one multiply-add of the chain's end, scaled, onto the result. No element is ever computed by scalar code, which
/// the compiler may round differently: partial tiles are computed whole and stored in part.

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <utility>

#include "flowfar/core/dtype.hpp"

namespace flowfar::cpu::product {

using Packet = Eigen::internal::packet_traits<float>::type;

inline constexpr Index lanes = Eigen::internal::packet_traits<float>::size;
inline constexpr int registers = Eigen::internal::gebp_traits<float, float>::NumberOfRegisters;

/// Products per chain. The rounding depends on it, so it is the same on all machines.
inline constexpr Index depth_block = 384;
/// Columns of b that are packed at a time: with `depth_block` rows they take 384 KiB, for the second-level cache.
inline constexpr Index column_block = 256;
/// Distance of the rows of a packed tile of a: whole cache lines, and not a power of two of them.
inline constexpr Index left_stride = depth_block + 16;

/// Rows of the tallest tile that is `vectors` wide and stays in registers with a row of b and an element of a.
[[nodiscard]] constexpr int tallest(int vectors) {
    return std::max((registers - 1 - std::max(vectors, 2)) / std::max(vectors, 2), 1);
}
inline constexpr int tile_rows = tallest(2);
/// Elements of the largest tile.
inline constexpr Index tile_floats =
    std::max({2 * tallest(2), 4 * tallest(4), 8 * tallest(8)}) * static_cast<int>(lanes);

template <class F, int... I>
EIGEN_ALWAYS_INLINE void unroll(F&& f, std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
}
/// f(0), …, f(N - 1) with constants as arguments, so that arrays they index can live in registers.
template <int N, class F>
EIGEN_ALWAYS_INLINE void unroll(F&& f) {
    unroll(f, std::make_integer_sequence<int, N>{});
}

/// c (+)= alpha · sum
template <int Rows, int Vectors>
void put(const Packet (&sum)[Rows][Vectors], float alpha, bool add, float* c, Index ldc) {
    using namespace Eigen::internal;
    const Packet scale = pset1<Packet>(alpha);
    unroll<Rows>([&](auto r) {
        unroll<Vectors>([&](auto v) {
            float* const to = c + r * ldc + v * lanes;
            pstoreu(to, add ? pmadd(scale, sum[r][v], ploadu<Packet>(to)) : pmul(scale, sum[r][v]));
        });
    });
}

/// c[Rows, Vectors · lanes] (+)= alpha · a b over `depth` ≤ depth_block products. Rows of a are `left_stride` apart,
/// those of b `ldb`, those of c `ldc`.
template <int Rows, int Vectors>
[[gnu::flatten]] void tile(const float* a, const float* b, Index ldb, Index depth, float alpha, bool add, float* c,
                           Index ldc) {
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

using Tile = void (*)(const float*, const float*, Index, Index, float, bool, float*, Index);

template <int Vectors, int... R>
[[nodiscard]] constexpr std::array<Tile, sizeof...(R)> make_tiles(std::integer_sequence<int, R...>) {
    return {&tile<R + 1, Vectors>...};
}
/// The tiles of 1, …, tallest(Vectors) rows.
template <int Vectors>
inline constexpr auto tiles = make_tiles<Vectors>(std::make_integer_sequence<int, tallest(Vectors)>{});

[[nodiscard]] inline Tile tile_of(Index rows, Index vectors) {
    const auto at = static_cast<std::size_t>(rows - 1);
    return vectors == 8 ? tiles<8>[at] : vectors == 4 ? tiles<4>[at] : vectors == 2 ? tiles<2>[at] : tiles<1>[at];
}

/// Vectors per panel of b for tiles of so many rows: short tiles are wide, to have enough independent chains.
[[nodiscard]] constexpr Index panel_vectors(Index rows) {
    return rows <= tallest(8) ? 8 : rows <= tallest(4) ? 4 : 2;
}
/// Width in columns of the next panel when `columns` are left: a power of two of vectors, and less than one too wide.
[[nodiscard]] constexpr Index panel_width(Index vectors, Index columns) {
    while (vectors > 1 && vectors * lanes >= columns + lanes) {
        vectors /= 2;
    }
    return vectors * lanes;
}

/// A square of N · N elements in registers, read by rows and used by columns.
template <int N>
class Square {
    using Line = typename Eigen::internal::find_best_packet<float, N>::type;

   public:
    EIGEN_ALWAYS_INLINE Square(const float* from, Index stride) {
        using namespace Eigen::internal;
#ifdef EIGEN_VECTORIZE_AVX512
        if constexpr (N == 16) {  // Eigen goes by way of half registers, with twice as many shuffles
            load<0>(from, stride);
            load<8>(from + 8, stride);
            return;
        }
#endif
        unroll<N>([&](auto i) { lines_.packet[i] = ploadu<Line>(from + i * stride); });
        ptranspose(lines_);
    }
    template <int I>
    [[nodiscard]] EIGEN_ALWAYS_INLINE const Line& column() const {
        return lines_.packet[I];
    }

   private:
#ifdef EIGEN_VECTORIZE_AVX512
    /// Columns First, …, First + 7 of the square, from rows of eight elements.
    template <int First>
    EIGEN_ALWAYS_INLINE void load(const float* from, Index stride) {
        __m512 pair[8];  // rows 0 and 4, 1 and 5, 2 and 6, 3 and 7, 8 and 12, …
        unroll<8>([&](auto i) {
            const float* const row = from + (i + i / 4 * 4) * stride;
            pair[i] = _mm512_castpd_ps(
                _mm512_mask_broadcast_f64x4(_mm512_castpd256_pd512(_mm256_castps_pd(_mm256_loadu_ps(row))), 0xF0,
                                            _mm256_castps_pd(_mm256_loadu_ps(row + 4 * stride))));
        });
        __m512 quarter[8];  // four rows of the columns First + i and First + 4 + i
        unroll<2>([&](auto h) {
            const __m512 low0 = _mm512_unpacklo_ps(pair[4 * h], pair[4 * h + 1]);
            const __m512 high0 = _mm512_unpackhi_ps(pair[4 * h], pair[4 * h + 1]);
            const __m512 low1 = _mm512_unpacklo_ps(pair[4 * h + 2], pair[4 * h + 3]);
            const __m512 high1 = _mm512_unpackhi_ps(pair[4 * h + 2], pair[4 * h + 3]);
            quarter[4 * h] = _mm512_shuffle_ps(low0, low1, 0x44);
            quarter[4 * h + 1] = _mm512_shuffle_ps(low0, low1, 0xEE);
            quarter[4 * h + 2] = _mm512_shuffle_ps(high0, high1, 0x44);
            quarter[4 * h + 3] = _mm512_shuffle_ps(high0, high1, 0xEE);
        });
        unroll<4>([&](auto i) {
            lines_.packet[First + i] = _mm512_shuffle_f32x4(quarter[i], quarter[4 + i], 0x88);
            lines_.packet[First + 4 + i] = _mm512_shuffle_f32x4(quarter[i], quarter[4 + i], 0xDD);
        });
    }
#endif

    Eigen::internal::PacketBlock<Line, N> lines_;
};

/// to[column · to_stride + row] = from[row · from_stride + column], by squares of N elements.
template <int N = lanes>
[[gnu::flatten]] void transpose(const float* from, Index from_stride, Index rows, Index columns, float* to,
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

/// As `tile` and with the same bits, but b is column-major, its columns `ldb` apart: for a few rows, packing b would
/// take longer than the product.
template <int Rows, int Squares>
[[gnu::flatten]] void thin_tile(const float* a, const float* b, Index ldb, Index depth, float alpha, bool add, float* c,
                                Index ldc) {
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

inline constexpr int thin_rows = 4;

/// The thin tiles of 1, …, thin_rows rows.
template <int Squares>
inline constexpr std::array<Tile, thin_rows> thin_tiles{&thin_tile<1, Squares>, &thin_tile<2, Squares>,
                                                        &thin_tile<3, Squares>, &thin_tile<4, Squares>};

[[nodiscard]] inline Tile thin_tile_of(Index rows, Index vectors) {
    const auto at = static_cast<std::size_t>(rows - 1);
    return vectors == 2 ? thin_tiles<2>[at] : thin_tiles<1>[at];
}

}  // namespace flowfar::cpu::product
