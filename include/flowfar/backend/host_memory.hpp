#pragma once

#include <algorithm>
#include <cstring>
#include <span>

#include "flowfar/core/handle.hpp"
#include "flowfar/core/philox.hpp"

namespace flowfar {

/// Memory, random numbers and row selection for backends whose storage is host memory. B provides `allocate(bytes)`,
/// `parallel(count, grain, f)`, `assign` and `add_into`.
template <class B>
struct HostMemory {
    [[nodiscard]] static const Extents& extents(const Handle& h) { return h.layout.extents; }
    [[nodiscard]] static DType dtype(const Handle& h) { return h.dtype; }

    [[nodiscard]] static Handle empty(const Extents& extents, DType dtype) {
        const auto count = static_cast<std::size_t>(std::max<Index>(extents.count(), 1));
        return {contiguous_layout(extents), dtype, B::allocate(count * size_of(dtype))};
    }
    [[nodiscard]] static Handle full(const Extents& extents, DType dtype, double value) {
        const Handle out = empty(extents, dtype);
        visit_dtype(dtype, [&]<class T>() {
            const auto element = convert<T>(value);
            B::parallel(out.count(), Index{1} << 16, [&](Index begin, Index end) {
                std::fill(out.data<T>() + begin, out.data<T>() + end, element);
            });
        });
        return out;
    }
    [[nodiscard]] static Handle from_host(const void* data, const Extents& extents, DType dtype) {
        const Handle out = empty(extents, dtype);
        if (out.count() > 0) {
            std::memcpy(out.storage.get(), data, static_cast<std::size_t>(out.count()) * size_of(dtype));
        }
        return out;
    }
    /// Writes the elements in row-major order, in the handle's own element type.
    static void to_host(const Handle& h, void* data) {
        const Handle dense = B::contiguous(h);
        if (dense.count() > 0) {
            const auto width = static_cast<Index>(size_of(dense.dtype));
            std::memcpy(data, dense.storage.get() + dense.layout.offset * width,
                        static_cast<std::size_t>(dense.count() * width));
        }
    }
    [[nodiscard]] static Handle cast(const Handle& h, DType dtype) {
        if (h.dtype == dtype) {
            return h;
        }
        const Handle out = empty(h.extents(), dtype);
        B::assign(out, h);
        return out;
    }
    [[nodiscard]] static Handle contiguous(const Handle& h) {
        if (is_contiguous(h.layout)) {
            return h;
        }
        const Handle out = empty(h.extents(), h.dtype);
        B::assign(out, h);
        return out;
    }
    static void synchronize() {}

    /// Row i of the result is row rows[i] of x: x [N, …], rows i64 [M] → [M, …].
    [[nodiscard]] static Handle gather_rows(const Handle& x, const Handle& rows) {
        Extents extents = x.extents();
        extents[0] = rows.count();
        const Handle out = empty(extents, x.dtype);
        for_listed_rows(rows, x.extents()[0], "gather_rows", [&](Index i, Index row) {
            B::assign(B::slice(out, 0, i, i + 1), B::slice(x, 0, row, row + 1));
        });
        return out;
    }
    /// Zeros [count, …] with row i of x added to row rows[i].
    [[nodiscard]] static Handle scatter_add_rows(const Handle& x, const Handle& rows, Index count) {
        Extents extents = x.extents();
        extents[0] = count;
        const Handle out = full(extents, x.dtype, 0.0);
        for_listed_rows(rows, count, "scatter_add_rows", [&](Index i, Index row) {
            B::add_into(B::slice(out, 0, row, row + 1), B::slice(x, 0, i, i + 1));
        });
        return out;
    }

    /// Independent U(0, 1) numbers; element i is number `offset + i` of the Philox stream of `seed`.
    [[nodiscard]] static Handle uniform(const Extents& extents, DType dtype, std::uint64_t seed, std::uint64_t offset) {
        return random(extents, dtype, offset,
                      [seed](std::uint64_t block, float(&out)[4]) { uniform_block(seed, block, out); });
    }
    /// Independent N(0, 1) numbers; element i is number `offset + i` of the Philox stream of `seed`.
    [[nodiscard]] static Handle normal(const Extents& extents, DType dtype, std::uint64_t seed, std::uint64_t offset) {
        return random(extents, dtype, offset,
                      [seed](std::uint64_t block, float(&out)[4]) { normal_block(seed, block, out); });
    }

   private:
    template <class F>
    static void for_listed_rows(const Handle& rows, Index limit, const char* what, F&& f) {
        require(rows.dtype == DType::i64, what, ": rows must be I64, found ", name_of(rows.dtype));
        const Handle list = contiguous(rows);
        for (Index i = 0; i < list.count(); ++i) {
            const Index row = list.data<Index>()[i];
            require(0 <= row && row < limit, what, ": row ", row, " of ", limit);
            f(i, row);
        }
    }
    /// From a generator of the stream's blocks, four numbers each.
    template <class Generator>
    static Handle random(const Extents& extents, DType dtype, std::uint64_t offset, Generator generator) {
        const Handle out = empty(extents, dtype);
        visit_float(dtype, "random", [&]<class T>() {
            T* const data = out.data<T>();
            B::parallel(out.count(), 4096, [&](Index begin, Index end) {
                for (Index i = begin; i < end;) {
                    const std::uint64_t position = offset + static_cast<std::uint64_t>(i);
                    float block[4];
                    generator(position / 4, block);
                    for (std::uint64_t lane = position % 4; lane < 4 && i < end; ++lane) {
                        data[i++] = convert<T>(block[lane]);
                    }
                }
            });
        });
        return out;
    }
};

}  // namespace flowfar
