#pragma once

/// Row selection by lists of indices, and its transpose. Lists that came from the host keep a copy there, so that they
/// can be checked without waiting for the device.

#include <vector>

#include "flowfar/backend/cuda/kernels/elementwise/copy.cuh"
#include "flowfar/backend/cuda/runtime/transfer.cuh"

namespace flowfar::cuda {

/// The deleter of an index tensor's storage: it also owns what the host knows of the elements.
struct HostCopy {
    std::shared_ptr<std::byte> device;
    std::shared_ptr<const std::vector<Index>> values;

    void operator()(std::byte* /*block*/) { device.reset(); }
};

/// `h` with its elements remembered by the host.
[[nodiscard]] inline Handle remember(const Handle& h, const Index* values) {
    auto copy = std::make_shared<const std::vector<Index>>(values, values + h.count());
    std::byte* const block = h.storage.get();
    return {h.layout, h.dtype, std::shared_ptr<std::byte>(block, HostCopy{h.storage, std::move(copy)})};
}

/// Must be called before elements of h change.
inline void forget(const Handle& h) {
    if (HostCopy* const copy = std::get_deleter<HostCopy>(h.storage)) {
        copy->values.reset();
    }
}

/// The numbers of a list, from the host's copy or else from the device. Throws Error unless all are in [0, limit).
[[nodiscard]] inline std::vector<Index> listed_rows(const Handle& rows, Index limit, const char* what) {
    require(rows.dtype == DType::i64, what, ": rows must be I64, found ", name_of(rows.dtype));
    std::vector<Index> out(static_cast<std::size_t>(rows.count()));
    const HostCopy* const copy = std::get_deleter<HostCopy>(rows.storage);
    if (copy != nullptr && copy->values != nullptr) {
        const Layout layout = with_row_axis(rows.layout);
        Index i = 0;
        for_each_row<1>(layout.extents, {&layout}, 0, row_count(layout.extents), [&](Index, const auto& offset) {
            for (Index k = 0; k < layout.extents.back(); ++k, ++i) {
                const Index at = layout.offset + offset[0] + k * layout.stride(layout.rank() - 1);
                out[static_cast<std::size_t>(i)] = (*copy->values)[static_cast<std::size_t>(at)];
            }
        });
    } else {
        Copy::to_host(contiguous(rows), out.data());
    }
    for (const Index row : out) {
        require(0 <= row && row < limit, what, ": row ", row, " of ", limit);
    }
    return out;
}

/// out [count, units] from in, whose rows are `units` long.
template <class Unit>
__global__ void __launch_bounds__(map_threads)
    gather_kernel(Unit* out, const Unit* in, const Index* rows, FastDivide units, std::uint32_t count) {
    const std::uint32_t step = gridDim.x * blockDim.x;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const std::uint32_t line = units.quotient(i);
        out[i] = in[rows[line] * units.divisor + (i - line * units.divisor)];
    }
}

/// out [rows, columns]: row r is the sum of in's rows order[begin[r]] … order[begin[r + 1] − 1], in this order.
template <class T>
__global__ void __launch_bounds__(map_threads)
    scatter_add_kernel(T* out, const T* in, const int* begin, const int* order, FastDivide columns,
                       std::uint32_t count) {
    using C = Compute<T>;
    const std::uint32_t step = gridDim.x * blockDim.x;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const std::uint32_t row = columns.quotient(i);
        const std::uint32_t column = i - row * columns.divisor;
        C total = 0;
        const int end = begin[row + 1];
        for (int k = begin[row]; k < end; ++k) {
            total += convert<C>(in[static_cast<Index>(order[k]) * columns.divisor + column]);
        }
        out[i] = convert<T>(total);
    }
}

struct Rows {
    /// out, x and rows are contiguous; all rows are rows of x.
    static void gather(const Handle& out, const Handle& x, const Handle& rows) {
        if (out.count() == 0) {
            return;
        }
        const std::size_t bytes = static_cast<std::size_t>(out.count() / out.extents()[0]) * size_of(out.dtype);
        const auto fits = [&](std::size_t unit) {
            return bytes % unit == 0 && is_aligned(x.storage.get() + offset(x), unit);
        };
        if (fits(16)) {
            gather_units<uint4>(out, x, rows, bytes);
        } else if (fits(8)) {
            gather_units<std::uint64_t>(out, x, rows, bytes);
        } else if (fits(4)) {
            gather_units<std::uint32_t>(out, x, rows, bytes);
        } else if (fits(2)) {
            gather_units<std::uint16_t>(out, x, rows, bytes);
        } else {
            gather_units<std::uint8_t>(out, x, rows, bytes);
        }
    }

    /// out and x are contiguous; row i of x goes to row list[i] of out.
    static void scatter_add(const Handle& out, const Handle& x, const std::vector<Index>& list) {
        const Index count = out.extents()[0];
        require(out.count() <= count_limit && x.count() <= count_limit, "scatter_add_rows: ", out.count(), " elements");
        if (out.count() == 0) {
            return;
        }
        // Counting sort by row: begin [count + 1], then order.
        std::vector<int> plan(static_cast<std::size_t>(count) + 1 + list.size());
        for (const Index row : list) {
            ++plan[static_cast<std::size_t>(row) + 1];
        }
        for (std::size_t row = 0; row < static_cast<std::size_t>(count); ++row) {
            plan[row + 1] += plan[row];
        }
        std::vector<int> next(plan.begin(), plan.begin() + count);
        for (std::size_t i = 0; i < list.size(); ++i) {
            const auto place = static_cast<std::size_t>(next[static_cast<std::size_t>(list[i])]++);
            plan[static_cast<std::size_t>(count) + 1 + place] = static_cast<int>(i);
        }
        const std::shared_ptr<std::byte> scratch = upload(plan.data(), plan.size() * sizeof(int));
        const int* const begin = reinterpret_cast<const int*>(scratch.get());
        visit_float(out.dtype, "scatter_add_rows", [&]<class T>() {
            launch(scatter_add_kernel<T>, dim3(map_blocks(out.count())), dim3(map_threads), 0, out.data<T>(),
                   static_cast<const T*>(x.data<T>()), begin, begin + count + 1, FastDivide::by(out.count() / count),
                   static_cast<std::uint32_t>(out.count()));
        });
    }

   private:
    [[nodiscard]] static Index offset(const Handle& h) {
        return h.layout.offset * static_cast<Index>(size_of(h.dtype));
    }
    template <class Unit>
    static void gather_units(const Handle& out, const Handle& x, const Handle& rows, std::size_t bytes) {
        const auto units = static_cast<Index>(bytes / sizeof(Unit));
        const Index count = rows.count() * units;
        require(count <= count_limit, "gather_rows: ", count, " units");
        launch(gather_kernel<Unit>, dim3(map_blocks(count)), dim3(map_threads), 0,
               reinterpret_cast<Unit*>(out.storage.get()), reinterpret_cast<const Unit*>(x.storage.get() + offset(x)),
               rows.data<Index>(), FastDivide::by(units), static_cast<std::uint32_t>(count));
    }
};

}  // namespace flowfar::cuda
