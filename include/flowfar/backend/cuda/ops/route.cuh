#pragma once

/// Which element type an operation computes in.

#include <array>
#include <utility>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/narrow.hpp"
#include "flowfar/backend/precision.hpp"

namespace flowfar::cuda {

/// Calls `f(operands…)` with operands of one element type, which is the first's: f32, f64 or bf16. Beside bf16 there
/// may be f32 operands; then the operation computes in f32 and its results are rounded.
template <class F, class... Rest>
auto route(F&& f, const Handle& first, const Rest&... rest) {
    [[maybe_unused]] const auto is = [](const Handle& h, DType dtype) { return !h.defined() || h.dtype == dtype; };
    if (first.dtype == DType::bf16) {
        if ((is(rest, DType::bf16) && ...)) {
            return f(first, rest...);
        }
        require(((is(rest, DType::bf16) || is(rest, DType::f32)) && ...), "cuda: expected F32 elements beside BF16");
        return Narrow<Cuda>::of(f(Cuda::cast(first, DType::f32), Cuda::cast_defined(rest, DType::f32)...));
    }
    require((is(rest, first.dtype) && ...), "cuda: operands have different element types; the first has ",
            name_of(first.dtype));
    require(first.dtype == DType::f32 || first.dtype == DType::f64, "cuda: expected F32, F64 or BF16 elements, found ",
            name_of(first.dtype));
    return f(first, rest...);
}

/// Whether products, convolutions and attention of tensors of this type round their operands to bf16 (Bf16Products).
[[nodiscard]] inline bool rounds_operands(DType dtype) {
    return dtype == DType::f32 && ProductPrecision::current().rounded;
}
/// h as another element type, its elements in the same order in memory: a transposed operand stays one, a repeated one
/// is converted once. Undefined if `h` is.
[[nodiscard]] inline Handle cast_in_order(const Handle& h, DType dtype) {
    if (!h.defined() || h.dtype == dtype) {
        return h;
    }
    Handle once = h;
    std::array<Index, max_rank> sorted{};
    for (int axis = 0; axis < h.rank(); ++axis) {
        sorted[static_cast<std::size_t>(axis)] = axis;
        if (h.layout.stride(axis) == 0 && h.extents()[axis] > 1) {
            once = Cuda::slice(once, axis, 0, 1);
        }
    }
    const auto stride_of = [&](int place) {
        return h.layout.stride(static_cast<int>(sorted[static_cast<std::size_t>(place)]));
    };
    for (int end = 1; end < h.rank(); ++end) {  // stable, largest stride first
        for (int at = end; at > 0 && stride_of(at - 1) < stride_of(at); --at) {
            std::swap(sorted[static_cast<std::size_t>(at - 1)], sorted[static_cast<std::size_t>(at)]);
        }
    }
    Extents order;
    Extents back = h.extents();
    for (int i = 0; i < h.rank(); ++i) {
        const Index axis = sorted[static_cast<std::size_t>(i)];
        order.push_back(axis);
        back[static_cast<int>(axis)] = i;
    }
    return Cuda::expand(Cuda::permute(Cuda::cast(Cuda::permute(once, order), dtype), back), h.extents());
}

/// Calls `f.template operator()<T>()` for f32 and bf16.
template <class F>
decltype(auto) visit_native(DType dtype, F&& f) {
    if (dtype == DType::bf16) {
        return f.template operator()<bf16>();
    }
    return f.template operator()<float>();
}

}  // namespace flowfar::cuda
