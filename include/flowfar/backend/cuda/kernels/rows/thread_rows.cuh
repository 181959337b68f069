#pragma once

/// Row operations: a group of threads (8, a warp or a block) owns one row. Rows that fit are kept in registers and read
/// once; others are read again for every pass.

#include "flowfar/backend/cuda/kernels/elementwise/strided.cuh"
#include "flowfar/backend/cuda/runtime/block.cuh"
#include "flowfar/backend/cuda/runtime/launch.cuh"

namespace flowfar::cuda {

/// A row in registers: `Threads` threads hold up to `Elements` elements each, in packs of 16 bytes.
template <class T_, int Threads, int Elements = 32>
class CachedRow {
   public:
    using T = T_;
    using C = Compute<T>;
    static constexpr int threads = Threads;
    static constexpr int width = pack_size<T>;
    static constexpr int slots = Elements / width;
    static constexpr int capacity = Elements * Threads;
    static constexpr bool packed = true;

    __device__ __forceinline__ CachedRow(const T* from, int columns) : columns_(columns) {
#pragma unroll
        for (int slot = 0; slot < slots; ++slot) {
            const int first = (slot * Threads + static_cast<int>(threadIdx.x)) * width;
            if (first < columns) {
                const Pack<T, width> pack = load_pack<width>(from + first);
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    value_[slot * width + i] = convert<C>(pack.values[i]);
                }
            }
        }
    }
    /// Calls `f(column, value)` for the thread's elements.
    template <class F>
    __device__ __forceinline__ void each(F&& f) const {
#pragma unroll
        for (int slot = 0; slot < slots; ++slot) {
            const int first = (slot * Threads + static_cast<int>(threadIdx.x)) * width;
            if (first < columns_) {
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    f(first + i, value_[slot * width + i]);
                }
            }
        }
    }
    /// Calls `f(column, mine, theirs)` for every element of two rows of one length.
    template <class F>
    __device__ __forceinline__ void each(const CachedRow& other, F&& f) const {
#pragma unroll
        for (int slot = 0; slot < slots; ++slot) {
            const int first = (slot * Threads + static_cast<int>(threadIdx.x)) * width;
            if (first < columns_) {
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    f(first + i, value_[slot * width + i], other.value_[slot * width + i]);
                }
            }
        }
    }
    /// to[column] = f(column, value).
    template <class F>
    __device__ __forceinline__ void store(T* to, F&& f) const {
        store(*this, to, [&](int column, C value, C /*same*/) { return f(column, value); });
    }
    /// to[column] = f(column, mine, theirs).
    template <class F>
    __device__ __forceinline__ void store(const CachedRow& other, T* to, F&& f) const {
#pragma unroll
        for (int slot = 0; slot < slots; ++slot) {
            const int first = (slot * Threads + static_cast<int>(threadIdx.x)) * width;
            if (first < columns_) {
                Pack<T, width> pack;
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    const int k = slot * width + i;
                    pack.values[i] = convert<T>(f(first + i, value_[k], other.value_[k]));
                }
                store_pack<width>(to + first, pack);
            }
        }
    }

    /// to[column] = f(value, first[column], second[column]); an operand that is null counts as `absent`. Operands begin
    /// at multiples of 16 bytes.
    template <class F>
    __device__ __forceinline__ void store_with(T* to, const T* first, const T* second, C absent, F&& f) const {
#pragma unroll
        for (int slot = 0; slot < slots; ++slot) {
            const int begin = (slot * Threads + static_cast<int>(threadIdx.x)) * width;
            if (begin < columns_) {
                Pack<T, width> a;
                Pack<T, width> b;
                if (first != nullptr) {
                    a = load_pack<width>(first + begin);
                }
                if (second != nullptr) {
                    b = load_pack<width>(second + begin);
                }
                Pack<T, width> pack;
#pragma unroll
                for (int i = 0; i < width; ++i) {
                    const C x = first != nullptr ? convert<C>(a.values[i]) : absent;
                    const C y = second != nullptr ? convert<C>(b.values[i]) : C(0);
                    pack.values[i] = convert<T>(f(value_[slot * width + i], x, y));
                }
                store_pack<width>(to + begin, pack);
            }
        }
    }

   private:
    C value_[slots * width];
    int columns_;
};

/// A row that is read from memory for every pass, element by element.
template <class T_, int Threads>
class StreamedRow {
   public:
    using T = T_;
    using C = Compute<T>;
    static constexpr int threads = Threads;
    static constexpr int unrolled = std::is_same_v<T, double> ? 1 : 4;  ///< functions of f64 need many registers
    static constexpr bool packed = false;

    __device__ __forceinline__ StreamedRow(const T* from, int columns) : from_(from), columns_(columns) {}

    template <class F>
    __device__ __forceinline__ void each(F&& f) const {
#pragma unroll(unrolled)
        for (int i = static_cast<int>(threadIdx.x); i < columns_; i += Threads) {
            f(i, convert<C>(from_[i]));
        }
    }
    template <class F>
    __device__ __forceinline__ void each(const StreamedRow& other, F&& f) const {
#pragma unroll(unrolled)
        for (int i = static_cast<int>(threadIdx.x); i < columns_; i += Threads) {
            f(i, convert<C>(from_[i]), convert<C>(other.from_[i]));
        }
    }
    template <class F>
    __device__ __forceinline__ void store(T* to, F&& f) const {
        each([&](int column, C value) { to[column] = convert<T>(f(column, value)); });
    }
    template <class F>
    __device__ __forceinline__ void store(const StreamedRow& other, T* to, F&& f) const {
        each(other, [&](int column, C mine, C theirs) { to[column] = convert<T>(f(column, mine, theirs)); });
    }

    template <class F>
    __device__ __forceinline__ void store_with(T* to, const T* first, const T* second, C absent, F&& f) const {
        each([&](int column, C value) {
            const C x = first != nullptr ? convert<C>(first[column]) : absent;
            const C y = second != nullptr ? convert<C>(second[column]) : C(0);
            to[column] = convert<T>(f(value, x, y));
        });
    }

   private:
    const T* from_;
    int columns_;
};

/// The row that this thread's group owns, of grids as `row_grid` makes them. Groups beyond the end do the last row once
/// more: all lanes of a warp must take part in its reductions.
template <class Row>
__device__ __forceinline__ Index own_row(Index rows) {
    const Index row = static_cast<Index>(blockIdx.x) * blockDim.y + threadIdx.y;
    return row < rows ? row : rows - 1;
}

/// Rows that a block works on: small groups share blocks of 128 threads.
template <class Row>
inline constexpr int rows_per_block = Row::threads < 128 ? 128 / Row::threads : 1;

template <class Row>
inline constexpr int row_threads = Row::threads * rows_per_block<Row>;

template <class Row>
[[nodiscard]] dim3 row_block() {
    return dim3(Row::threads, rows_per_block<Row>);
}
template <class Row>
[[nodiscard]] dim3 row_grid(Index rows) {
    return dim3(blocks_for(rows, rows_per_block<Row>));
}

/// The longest rows that a warp holds: 1,536 elements where a kernel has the registers, since no thread waits for
/// another warp then.
enum class WarpRows : std::uint8_t { of_1024, of_1536 };

/// Calls `f.template operator()<Row>()` with the kind of row that suits the length and, if all rows begin at multiples
/// of 16 bytes, `packed`.
template <class T, WarpRows widest = WarpRows::of_1024, class F>
void visit_row(Index columns, bool packed, F&& f) {
    require(columns <= count_limit, "cuda: rows of ", columns, " elements");
    if constexpr (!std::is_same_v<T, double>) {
        if (packed && columns % pack_size<T> == 0 && columns <= CachedRow<T, 128>::capacity) {
            if (columns <= CachedRow<T, 8>::capacity) {
                f.template operator()<CachedRow<T, 8>>();
            } else if (columns <= CachedRow<T, 32>::capacity) {
                f.template operator()<CachedRow<T, 32>>();
            } else if (widest == WarpRows::of_1536 && columns <= CachedRow<T, 32, 48>::capacity) {
                if constexpr (widest == WarpRows::of_1536) {
                    f.template operator()<CachedRow<T, 32, 48>>();
                }
            } else {
                f.template operator()<CachedRow<T, 128>>();
            }
            return;
        }
    }
    if (columns <= 256) {
        f.template operator()<StreamedRow<T, 32>>();
    } else {
        f.template operator()<StreamedRow<T, 256>>();
    }
}

/// Whether all rows of a view with dense rows begin at multiples of 16 bytes.
[[nodiscard]] inline bool has_packed_rows(const Handle& h) {
    const auto width = static_cast<Index>(16 / size_of(h.dtype));
    bool packed = is_aligned(h.storage.get() + h.layout.offset * static_cast<Index>(size_of(h.dtype)), 16);
    for (int axis = 0; axis < h.rank() - 1; ++axis) {
        packed = packed && (h.layout.stride(axis) % width == 0 || h.extents()[axis] == 1);
    }
    return packed;
}

}  // namespace flowfar::cuda
