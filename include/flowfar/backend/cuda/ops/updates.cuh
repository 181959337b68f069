#pragma once

/// `Cuda`'s updates of parameters in place, one by one and of many at once.

#include <algorithm>

#include "flowfar/backend/cuda/kernels/rows/optim.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar::cuda {

/// Whether a kernel that works on many tensors takes this one as a target.
[[nodiscard]] inline bool fits_table(const Handle& h) {
    return h.dtype == DType::f32 && is_contiguous(h.layout) && h.count() <= count_limit;
}

}  // namespace flowfar::cuda

namespace flowfar {

void Cuda::lerp(const Handle& target, const Handle& source, double weight) {
    require(target.dtype == DType::f32 || target.dtype == DType::f64, "lerp: expected F32 or F64 elements, found ",
            name_of(target.dtype), "; keep master weights in F32");
    require(is_contiguous(target.layout) && target.extents() == source.extents(),
            "lerp: the target must be contiguous and have the source's extents");
    const Handle same = cast(source, target.dtype);
    if (target.dtype == DType::f32) {
        cuda::updates::lerp<float>(target, same, weight);
    } else {
        cuda::updates::lerp<double>(target, same, weight);
    }
}

void Cuda::lerp_each(std::span<const Handle> targets, std::span<const Handle> sources, double weight) {
    PoolVector<Handle> to;
    PoolVector<Handle> from;
    for (std::size_t i = 0; i < targets.size(); ++i) {
        const Handle& target = targets[i];
        if (!cuda::fits_table(target) || target.extents() != sources[i].extents()) {
            lerp(target, sources[i], weight);  // says what is wrong, if anything is
        } else {
            to.push_back(target);
            from.push_back(contiguous(cast(sources[i], DType::f32)));
        }
    }
    cuda::updates::lerp_each(to, from, weight);
}

Handle Cuda::square_sums(std::span<const Handle> tensors) {
    PoolVector<Handle> dense;
    for (const Handle& x : tensors) {
        require(x.dtype == DType::f32 || x.dtype == DType::f64 || x.dtype == DType::bf16,
                "square_sums: expected F32, F64 or BF16 elements, found ", name_of(x.dtype));
        require(x.count() <= cuda::count_limit, "square_sums: ", x.count(), " elements");
        dense.push_back(contiguous(x));
    }
    const Handle out = empty({static_cast<Index>(tensors.size())}, DType::f64);
    auto* const sums = out.data<double>();
    cuda::updates::square_sums<float>(sums, dense);
    cuda::updates::square_sums<bf16>(sums, dense);
    cuda::updates::square_sums<double>(sums, dense);
    return out;
}

void Cuda::multiply_each(std::span<const Handle> targets, const Handle& factors) {
    require(factors.dtype == DType::f64 && factors.count() == static_cast<Index>(targets.size()),
            "multiply_each: expected ", targets.size(), " factors of F64");
    if (!std::all_of(targets.begin(), targets.end(), cuda::fits_table)) {
        return TensorLists<Cuda, Handle>::multiply_each(targets, factors);
    }
    cuda::updates::multiply_each(targets, contiguous(factors));
}

void Cuda::adam_step(const Handle& p, const Handle& g, const Handle& m, const Handle& v, const AdamOptions& options) {
    const AdamTarget<Handle> target{p, g, m, v, options};
    adam_steps(std::span<const AdamTarget<Handle>>(&target, 1));
}

void Cuda::adam_steps(std::span<const AdamTarget<Handle>> targets) {
    adam_steps(targets, {});
}

void Cuda::adam_steps(std::span<const AdamTarget<Handle>> targets, const GradientLimit<Handle>& limit) {
    require(!limit.norm.defined() || (limit.norm.dtype == DType::f64 && limit.norm.count() == 1),
            "adam_steps: expected one F64 number as the gradients' norm");
    PoolVector<AdamTarget<Handle>> dense;
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
    const auto device_limit = cuda::AdamLimit::of(limit);
    cuda::updates::adam_steps<float>(dense, device_limit);
    cuda::updates::adam_steps<bf16>(dense, device_limit);
    for (const AdamTarget<Handle>& t : dense) {
        if (t.parameter.dtype == DType::f64) {
            cuda::updates::adam<double, double>(t, device_limit);
        }
    }
}

}  // namespace flowfar
