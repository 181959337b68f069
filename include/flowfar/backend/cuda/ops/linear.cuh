#pragma once

/// `Cuda`'s matrix products.

#include "flowfar/backend/cuda/kernel_choice.hpp"
#include "flowfar/backend/cuda/kernels/gemm/gemm_lt.cuh"
#include "flowfar/backend/cuda/kernels/rows/joint_heads.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"
#include "flowfar/core/shapes/gemm_shape.hpp"

namespace flowfar {

std::size_t cuda::plain_products() {
    return Gemm::refused();
}

Handle Cuda::gemm(const Handle& x, const Handle& y, const Handle& bias, GemmOptions options) {
    const GemmShape shape = GemmShape::of(x, y, bias);
    if (cuda::rounds_operands(x.dtype) && y.dtype == x.dtype) {
        const Handle out = empty(shape.result, x.dtype);
        cuda::Gemm::run(out, cuda::cast_in_order(x, DType::bf16), cuda::cast_in_order(y, DType::bf16),
                        dense(cast_defined(bias, x.dtype)), options);
        return out;
    }
    // A bias is added in f32; rounding it first costs no more than rounding the sum.
    const Handle added = bias.defined() && x.dtype == DType::bf16 ? cast(bias, DType::bf16) : bias;
    return cuda::route(
        [&](const Handle& a, const Handle& b, const Handle& c) {
            const Handle out = empty(shape.result, a.dtype);
            cuda::Gemm::run(out, a, b, dense(c), options);
            return out;
        },
        x, y, added);
}

JointHeads<Handle> Cuda::joint_heads(std::span<const HeadSource<Handle>> sources, const Handle& cos, const Handle& sin,
                                     Index heads) {
    require(!sources.empty() && sources.size() <= cuda::HeadNorm<float>::most, "joint_heads: ", sources.size(),
            " sequences");
    const Handle& first = sources.front().x;
    const Index width = sources.front().weight.extents()[0];
    const Index depth = width / 3 / std::max<Index>(heads, 1);
    Index tokens = 0;
    for (const HeadSource<Handle>& source : sources) {
        const Extents& e = source.x.extents();
        require(e.rank() == 3 && e[0] == first.extents()[0] && source.weight.extents() == Extents{width, e[2]} &&
                    source.query_gain.extents() == Extents{depth} && source.key_gain.extents() == Extents{depth},
                "joint_heads: input ", e, ", weight ", source.weight.extents(), ", gains ", source.query_gain.extents(),
                " and ", source.key_gain.extents(), " for ", heads, " heads");
        require(source.x.dtype == first.dtype && source.weight.dtype == first.dtype,
                "joint_heads: operands have different element types; the first has ", name_of(first.dtype));
        tokens += e[1];
    }
    require(width == 3 * heads * depth && depth % 2 == 0 && depth <= cuda::widest_head, "joint_heads: ", width,
            " columns for ", heads, " heads");
    require(cos.extents() == Extents{tokens, depth / 2} && sin.extents() == cos.extents(), "joint_heads: ", tokens,
            " tokens, tables ", cos.extents(), " and ", sin.extents());
    const Index batch = first.extents()[0];
    const Handle joint = empty({batch, tokens, 3, heads, depth}, first.dtype);
    const Handle projected = reshape(joint, {batch, tokens, width});
    Index end = 0;
    for (const HeadSource<Handle>& source : sources) {
        const Index begin = std::exchange(end, end + source.x.extents()[1]);
        const Handle out = slice(projected, 1, begin, end);
        const Handle weight = permute(source.weight, {1, 0});
        const Handle bias = dense(cast_defined(source.bias, first.dtype));
        if (cuda::rounds_operands(first.dtype)) {
            cuda::Gemm::run(out, cuda::cast_in_order(source.x, DType::bf16), cuda::cast_in_order(weight, DType::bf16),
                            bias, {});
        } else {
            cuda::Gemm::run(out, source.x, weight, bias, {});
        }
    }
    const Index rows = batch * tokens * 2 * heads;
    require(rows <= cuda::count_limit, "joint_heads: ", rows, " heads of queries and keys");
    visit_float(first.dtype, "joint_heads", [&]<class T>() {
        const auto elements = [&](const Handle& h) { return contiguous(cast(h, first.dtype)); };
        const auto pairs = [&](const Handle& h) {  // the kernel loads two gains at once, or more
            const Handle dense = elements(h);
            if (cuda::is_aligned(dense.data<T>(), 2 * sizeof(T))) {
                return dense;
            }
            const Handle out = empty(dense.extents(), dense.dtype);
            assign(out, dense);
            return out;
        };
        const Handle cosines = elements(cos);
        const Handle sines = elements(sin);
        std::array<Handle, 2 * cuda::HeadNorm<T>::most> gains;
        cuda::HeadNorm<T> norm{};
        Index last = 0;
        for (std::size_t i = 0; i < cuda::HeadNorm<T>::most; ++i) {
            const HeadSource<Handle>& source = sources[std::min(i, sources.size() - 1)];
            gains[2 * i] = pairs(source.query_gain);
            gains[2 * i + 1] = pairs(source.key_gain);
            last += i < sources.size() ? source.x.extents()[1] : 0;
            norm.gains[i] = {gains[2 * i].template data<T>(), gains[2 * i + 1].template data<T>(),
                             static_cast<int>(last)};
        }
        norm.cos = cosines.template data<T>();
        norm.sin = sines.template data<T>();
        norm.heads_in_all = rows;
        norm.depth = static_cast<int>(depth);
        norm.epsilon = static_cast<float>(NormOptions{}.epsilon);
        if (rows > 0 && depth > 0) {
            norm.heads = cuda::FastDivide::by(2 * heads);
            norm.tokens = cuda::FastDivide::by(tokens);
            cuda::norm_heads(joint.data<T>(), norm);
        }
    });
    const auto part = [&](Index i) {
        return permute(reshape(slice(joint, 2, i, i + 1), {batch, tokens, heads, depth}), {0, 2, 1, 3});
    };
    return {part(0), part(1), part(2)};
}

}  // namespace flowfar
