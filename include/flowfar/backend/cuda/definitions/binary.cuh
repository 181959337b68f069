#pragma once

/// `Cuda`'s elementwise operations of two and three tensors, and its updates in place.

#include <vector>

#include "flowfar/backend/cuda/binary.cuh"
#include "flowfar/backend/cuda/definitions/route.cuh"
#include "flowfar/backend/cuda/optim.cuh"

namespace flowfar {

Handle Cuda::binary(BinaryOp op, const Handle& x, const Handle& y) {
    return cuda::route(
        [op](const Handle& a, const Handle& b) {
            const Handle out = empty(broadcast(a.extents(), b.extents(), "binary"), a.dtype);
            cuda::BinaryLoops::binary(out, op, a, b);
            return out;
        },
        x, y);
}

Handle Cuda::binary_backward(BinaryOp op, bool first, const Handle& x, const Handle& y, const Handle& z,
                             const Handle& g) {
    return cuda::route(
        [op, first](const Handle& a, const Handle& b, const Handle& result, const Handle& cotangent) {
            const Handle out = empty(cotangent.extents(), cotangent.dtype);
            cuda::BinaryLoops::binary_backward(out, op, first, a, b, result, cotangent);
            return out;
        },
        x, y, z, g);
}

Handle Cuda::where(const Handle& condition, const Handle& x, const Handle& y) {
    return cuda::route(
        [](const Handle& a, const Handle& b, const Handle& chosen) {
            const Extents extents = broadcast(chosen.extents(), broadcast(a.extents(), b.extents(), "where"), "where");
            const Handle out = empty(extents, a.dtype);
            cuda::BinaryLoops::where(out, chosen, a, b);
            return out;
        },
        x, y, cast(condition, x.dtype));
}

void Cuda::add_into(const Handle& target, const Handle& source) {
    require(target.dtype == DType::f32 || target.dtype == DType::f64 || target.dtype == DType::bf16,
            "add_into: expected F32, F64 or BF16 elements, found ", name_of(target.dtype));
    cuda::BinaryLoops::binary(target, BinaryOp::add, target, cast(source, target.dtype));
}

void Cuda::lerp(const Handle& target, const Handle& source, double weight) {
    require(target.dtype == DType::f32 || target.dtype == DType::f64, "lerp: expected F32 or F64 elements, found ",
            name_of(target.dtype), "; keep master weights in F32");
    require(is_contiguous(target.layout) && target.extents() == source.extents(),
            "lerp: the target must be contiguous and have the source's extents");
    const Handle same = cast(source, target.dtype);
    if (target.dtype == DType::f32) {
        cuda::Optimiser::lerp<float>(target, same, weight);
    } else {
        cuda::Optimiser::lerp<double>(target, same, weight);
    }
}

void Cuda::adam_step(const Handle& p, const Handle& g, const Handle& m, const Handle& v, const AdamOptions& options) {
    const AdamTarget<Handle> target{p, g, m, v, options};
    adam_steps(std::span<const AdamTarget<Handle>>(&target, 1));
}

void Cuda::adam_steps(std::span<const AdamTarget<Handle>> targets) {
    std::vector<AdamTarget<Handle>> dense;
    for (const AdamTarget<Handle>& t : targets) {
        const Handle& p = t.parameter;
        require(p.dtype == DType::f32 || p.dtype == DType::f64, "adam_step: expected F32 or F64 elements, found ",
                name_of(p.dtype), "; keep master weights in F32");
        const auto fits = [&p](const Handle& h) { return h.extents() == p.extents() && h.dtype == p.dtype; };
        require(t.gradient.extents() == p.extents() && fits(t.first) && fits(t.second),
                "adam_step: parameter, gradient and moments must have the same extents and element type");
        require(is_contiguous(p.layout) && is_contiguous(t.first.layout) && is_contiguous(t.second.layout),
                "adam_step: parameter and moments must be contiguous");
        const bool narrow = p.dtype == DType::f32 && t.gradient.dtype == DType::bf16;
        dense.push_back(t);
        dense.back().gradient = contiguous(narrow ? t.gradient : cast(t.gradient, p.dtype));
    }
    cuda::Optimiser::adam_steps<float>(dense);
    cuda::Optimiser::adam_steps<bf16>(dense);
    for (const AdamTarget<Handle>& t : dense) {
        if (t.parameter.dtype == DType::f64) {
            cuda::Optimiser::adam<double, double>(t.parameter, t.gradient, t.first, t.second, t.options);
        }
    }
}

}  // namespace flowfar
