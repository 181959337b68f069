#pragma once

/// Sorting, selection and whole-tensor sums by Thrust and CUB, for programs whose own units nvcc compiles. Apart from
/// the backend's operations because these headers cost seconds of compile time, and host compilers do not take them.
/// A unit that includes this must not say `using namespace flowfar;` globally: what nvcc generates names ::cuda.

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_select.cuh>
#include <thrust/device_ptr.h>
#include <thrust/execution_policy.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/sequence.h>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/cuda/runtime/runtime.cuh"

namespace flowfar::cuda {

namespace detail {

/// CUB's calls come in pairs: the first asks how much scratch memory the second needs.
template <class Call>
void with_scratch(const char* what, Call&& call) {
    std::size_t bytes = 0;
    check(call(nullptr, bytes), what);
    const std::shared_ptr<std::byte> scratch = allocate(bytes);
    check(call(static_cast<void*>(scratch.get()), bytes), what);
}

[[nodiscard]] inline int sort_count(const Handle& h, const char* what) {
    require(h.count() <= 0x7FFFFFFF, what, ": ", h.count(), " elements");
    return static_cast<int>(h.count());
}

template <class T>
void sort_places(const Handle& out, const Handle& keys, bool descending) {
    const int count = static_cast<int>(keys.count());
    const cudaStream_t stream = current_stream();
    const Handle sorted = Cuda::empty({count}, keys.dtype);
    const Handle places = Cuda::empty({count}, DType::i64);
    const thrust::device_ptr<Index> first(places.data<Index>());
    thrust::sequence(thrust::cuda::par_nosync.on(stream), first, first + count);
    with_scratch("argsort", [&](void* scratch, std::size_t& bytes) {
        const T* const in = keys.data<T>();
        T* const moved = sorted.data<T>();
        const Index* const from = places.data<Index>();
        Index* const to = out.data<Index>();
        constexpr int bits = 8 * static_cast<int>(sizeof(T));
        return descending
                   ? cub::DeviceRadixSort::SortPairsDescending(scratch, bytes, in, moved, from, to, count, 0, bits,
                                                               stream)
                   : cub::DeviceRadixSort::SortPairs(scratch, bytes, in, moved, from, to, count, 0, bits, stream);
    });
}

}  // namespace detail

/// The order that sorts `keys` (f32, bf16, f64 or i64 of any extents, numbered row by row): element i of the result
/// [count], i64, is the number of the i-th smallest or, with `descending`, largest key. Equal keys keep their order.
[[nodiscard]] inline Handle argsort(const Handle& keys, bool descending = false) {
    const int count = detail::sort_count(keys, "argsort");
    const Handle out = Cuda::empty({count}, DType::i64);
    if (count == 0) {
        return out;
    }
    const Handle dense = Cuda::contiguous(keys.dtype == DType::bf16 ? Cuda::cast(keys, DType::f32) : keys);
    if (dense.dtype == DType::f32) {
        detail::sort_places<float>(out, dense, descending);
    } else if (dense.dtype == DType::f64) {
        detail::sort_places<double>(out, dense, descending);
    } else {
        require(dense.dtype == DType::i64, "argsort: expected F32, BF16, F64 or I64 keys, found ", name_of(keys.dtype));
        detail::sort_places<Index>(out, dense, descending);
    }
    return out;
}

/// The numbers of the elements of `mask` (f32, bf16, f64 or i64, numbered row by row) that are not 0, ascending, as i64
/// [n]. Waits for the device, because n is computed there.
[[nodiscard]] inline Handle nonzero(const Handle& mask) {
    const int count = detail::sort_count(mask, "nonzero");
    if (count == 0) {
        return Cuda::empty({0}, DType::i64);
    }
    const Handle numbers = mask.dtype == DType::i64 ? Cuda::cast(mask, DType::f64) : mask;
    const Handle zeros = Cuda::binary(BinaryOp::equal, numbers, Cuda::full({}, numbers.dtype, 0.0));
    const Handle wanted = Cuda::cast(Cuda::unary({UnaryOp::affine, -1.0, 1.0}, zeros), DType::u8);
    const Handle found = Cuda::empty({count}, DType::i64);
    const Handle number = Cuda::empty({1}, DType::i64);
    detail::with_scratch("nonzero", [&](void* scratch, std::size_t& bytes) {
        return cub::DeviceSelect::Flagged(scratch, bytes, thrust::counting_iterator<Index>(0),
                                          wanted.data<std::uint8_t>(), found.data<Index>(), number.data<Index>(), count,
                                          current_stream());
    });
    Index kept = 0;
    Cuda::to_host(number, &kept);
    return Cuda::slice(found, 0, 0, kept);
}

/// The sum of all elements (f32 or f64) as a scalar of the same type; the same bits in every run on one device.
[[nodiscard]] inline Handle total(const Handle& x) {
    const int count = detail::sort_count(x, "total");
    const Handle dense = Cuda::contiguous(x);
    const Handle out = Cuda::full({}, x.dtype, 0.0);
    const auto sum = [&]<class T>() {
        detail::with_scratch("total", [&](void* scratch, std::size_t& bytes) {
            const T* const in = dense.data<T>();
            return cub::DeviceReduce::Sum(scratch, bytes, in, out.data<T>(), count, current_stream());
        });
    };
    if (x.dtype == DType::f64) {
        sum.template operator()<double>();
    } else {
        require(x.dtype == DType::f32, "total: expected F32 or F64 elements, found ", name_of(x.dtype));
        sum.template operator()<float>();
    }
    return out;
}

}  // namespace flowfar::cuda
