#pragma once

#include "flowfar/autodiff/record.hpp"

namespace flowfar::rules {

/// Convolution, group norm, upsampling and pooling on tracked handles.
template <PlainBackend B>
struct Conv {
    using Handle = Tracked<B>;
    using H = typename B::Handle;

    [[nodiscard]] static Handle conv2d(const Handle& x, const Handle& weight, const Handle& bias,
                                       const ConvOptions& options) {
        const H vx = weight.node != nullptr ? x.value : H{};
        const H vw = x.node != nullptr ? weight.value : H{};
        return record<B>(B::conv2d(x.value, weight.value, bias.value, options), {&x, &weight, &bias},
                         [vx, vw, ex = B::extents(x.value), ew = B::extents(weight.value), options](
                             const H& g, const Cotangents<B>& grads) {
                             if (grads.wants(0)) {
                                 grads.add(0, B::conv2d_backward_input(vw, g, ex, options));
                             }
                             if (grads.wants(1)) {
                                 grads.add(1, B::conv2d_backward_weight(vx, g, ew, options));
                             }
                             if (grads.wants(2)) {
                                 const Axes others = Axes::only(0) | Axes::only(2) | Axes::only(3);
                                 grads.add(2, B::reduce(ReduceOp::sum, g, others, ReducedAxes::drop));
                             }
                         });
    }
    [[nodiscard]] static Handle group_norm(const Handle& x, const Handle& weight, const Handle& bias, Index groups,
                                           double epsilon) {
        return record<B>(B::group_norm(x.value, weight.value, bias.value, groups, epsilon), {&x, &weight, &bias},
                         [vx = x.value, vw = weight.value, groups, epsilon](const H& g, const Cotangents<B>& grads) {
                             const NormGradients<H> d = B::group_norm_backward(vx, vw, g, groups, epsilon);
                             grads.add(0, d.input);
                             grads.add(1, d.scale);
                             grads.add(2, d.shift);
                         });
    }
    [[nodiscard]] static Handle upsample_nearest2(const Handle& x) {
        return record<B>(B::upsample_nearest2(x.value), {&x}, [](const H& g, const Cotangents<B>& grads) {
            grads.add(0, B::upsample_nearest2_backward(g));
        });
    }
    [[nodiscard]] static Handle pool2d(const Handle& x, const PoolOptions& options) {
        const H vx = options.kind == PoolKind::max ? x.value : H{};
        return record<B>(B::pool2d(x.value, options), {&x},
                         [vx, ex = B::extents(x.value), options](const H& g, const Cotangents<B>& grads) {
                             grads.add(0, B::pool2d_backward(vx, g, ex, options));
                         });
    }
};

}  // namespace flowfar::rules
