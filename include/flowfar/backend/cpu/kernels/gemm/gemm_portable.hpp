#pragma once

/// Tiles of the f32 matrix product in the compiler's vectors: the instructions that its flags allow.

#include <cstring>

#include "flowfar/backend/cpu/kernels/gemm/gemm_kernel.hpp"

namespace flowfar::cpu::product {

template <class F, int... I>
[[gnu::always_inline]] inline void unroll(F&& f, std::integer_sequence<int, I...> /*indices*/) {
    (f(std::integral_constant<int, I>{}), ...);
}
/// f(0), …, f(N - 1) with constants as arguments, so that arrays they index can live in registers.
template <int N, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
    unroll(f, std::make_integer_sequence<int, N>{});
}

template <int N>
struct VectorOf;
template <>
struct VectorOf<4> {
    using type [[gnu::vector_size(16)]] = float;
};
template <>
struct VectorOf<8> {
    using type [[gnu::vector_size(32)]] = float;
};
template <>
struct VectorOf<16> {
    using type [[gnu::vector_size(64)]] = float;
};

/// N floats that the compiler computes with side by side.
template <int N>
struct Floats {
    using Vector = typename VectorOf<N>::type;

    Vector value;

    [[gnu::always_inline]] static Floats load(const float* from) {
        Floats out;
        std::memcpy(&out.value, from, sizeof(out.value));
        return out;
    }
    [[gnu::always_inline]] static Floats all(float x) {
        Floats out;
        for (int i = 0; i < N; ++i) {
            out.value[i] = x;
        }
        return out;
    }
    [[gnu::always_inline]] void store(float* to) const { std::memcpy(to, &value, sizeof(value)); }
    [[gnu::always_inline]] Floats operator*(Floats other) const { return {value * other.value}; }
    /// this · b + c, rounded once where the flags allow instructions that do so.
    [[gnu::always_inline]] Floats multiply_add(Floats b, Floats c) const {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
        for (int i = 0; i < N; ++i) {
            c.value[i] = __builtin_fmaf(value[i], b.value[i], c.value[i]);
        }
        return c;
#else
        return {value * b.value + c.value};
#endif
    }
    /// The first halves of a and b in turns, or the second halves.
    template <bool Second, int... I>
    [[gnu::always_inline]] static Floats zip(Floats a, Floats b, std::integer_sequence<int, I...> /*lanes*/) {
        return {__builtin_shufflevector(a.value, b.value, (I % 2 * N + I / 2 + (Second ? N / 2 : 0))...)};
    }
};

/// A square of N · N elements in registers, read by rows and used by columns.
template <int N>
class Square {
   public:
    [[gnu::always_inline]] Square(const float* from, Index stride) {
        unroll<N>([&](auto i) __attribute__((always_inline)) { line_[i] = Floats<N>::load(from + i * stride); });
        for (int round = 1; round < N; round *= 2) {  // a transposition is log₂ N zips of the lines' two halves
            std::array<Floats<N>, N> next;
            unroll<N / 2>([&](auto i) __attribute__((always_inline)) {
                constexpr std::make_integer_sequence<int, N> lanes;
                next[2 * i] = Floats<N>::template zip<false>(line_[i], line_[i + N / 2], lanes);
                next[2 * i + 1] = Floats<N>::template zip<true>(line_[i], line_[i + N / 2], lanes);
            });
            line_ = next;
        }
    }
    template <int I>
    [[nodiscard, gnu::always_inline]] const Floats<N>& column() const {
        return line_[I];
    }

   private:
    std::array<Floats<N>, N> line_;
};

struct Portable {
#if defined(__AVX512F__)
    static constexpr int width = 16;
    static constexpr int registers = 32;
#elif defined(__AVX__)
    static constexpr int width = 8;
    static constexpr int registers = 16;
#elif defined(__aarch64__)
    static constexpr int width = 4;
    static constexpr int registers = 32;
#else
    static constexpr int width = 4;
    static constexpr int registers = 16;
#endif
    static constexpr Index lanes = width;
    using Packet = Floats<width>;

    template <int Rows, int Vectors>
    [[gnu::flatten]] static void tile(const float* a, const float* b, Index ldb, Index depth, float alpha, bool add,
                                      float* c, Index ldc) {
        Packet sum[Rows][Vectors];
        unroll<Rows>([&](auto r) { unroll<Vectors>([&](auto v) { sum[r][v] = Packet::all(0.0F); }); });
        for (Index k = 0; k < depth; ++k) {
            Packet right[Vectors];
            unroll<Vectors>([&](auto v) { right[v] = Packet::load(b + v * lanes); });
            unroll<Rows>([&](auto r) {
                const Packet left = Packet::all(a[r * left_stride]);
                unroll<Vectors>([&](auto v) { sum[r][v] = left.multiply_add(right[v], sum[r][v]); });
            });
            ++a;
            b += ldb;
        }
        put(sum, alpha, add, c, ldc);
    }

    template <int Rows, int Squares>
    [[gnu::flatten]] static void thin_tile(const float* a, const float* b, Index ldb, Index depth, float alpha,
                                           bool add, float* c, Index ldc) {
        Packet sum[Rows][Squares];
        unroll<Rows>([&](auto r) { unroll<Squares>([&](auto s) { sum[r][s] = Packet::all(0.0F); }); });
        Index k = 0;
        for (; k + lanes <= depth; k += lanes) {
            unroll<Squares>([&](auto s) {
                const Square<width> square(b + s * lanes * ldb + k, ldb);
                unroll<width>([&](auto i) {
                    unroll<Rows>([&](auto r) {
                        sum[r][s] = Packet::all(a[r * left_stride + k + i])
                                        .multiply_add(square.template column<i>(), sum[r][s]);
                    });
                });
            });
        }
        if (k < depth) {
            alignas(64) std::array<float, lanes * lanes * Squares> rest;
            transpose(b + k, ldb, lanes * Squares, depth - k, rest.data(), lanes * Squares);
            for (Index i = 0; k < depth; ++k, ++i) {
                unroll<Rows>([&](auto r) {
                    const Packet left = Packet::all(a[r * left_stride + k]);
                    unroll<Squares>([&](auto s) {
                        sum[r][s] = left.multiply_add(Packet::load(rest.data() + (i * Squares + s) * lanes), sum[r][s]);
                    });
                });
            }
        }
        put(sum, alpha, add, c, ldc);
    }

    /// By squares of N elements.
    template <int N = width>
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
                    unroll<N>([&](auto i) { square.template column<i>().store(to + (column + i) * to_stride + row); });
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
        const Packet scale = Packet::all(alpha);
        unroll<Rows>([&](auto r) {
            unroll<Vectors>([&](auto v) {
                float* const to = c + r * ldc + v * lanes;
                (add ? scale.multiply_add(sum[r][v], Packet::load(to)) : scale * sum[r][v]).store(to);
            });
        });
    }
};

}  // namespace flowfar::cpu::product
