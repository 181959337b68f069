#pragma once

/// `Cpu`'s updates of parameters in place.

#include "flowfar/backend/cpu/kernels/rows/optimizer.hpp"
#include "flowfar/backend/cpu/ops/route.hpp"

namespace flowfar {

namespace cpu {

inline void check_update(DType dtype, const char* what) {
    require(dtype == DType::f32 || dtype == DType::f64, what, ": expected F32 or F64 elements, found ", name_of(dtype),
            "; keep master weights in F32");
}

}  // namespace cpu

FLOWFAR_INLINE void Cpu::lerp(const Handle& target, const Handle& source, double weight) {
    cpu::BlockCache::changes(target);
    cpu::check_update(target.dtype, "lerp");
    const Handle alike = cast(source, target.dtype);
    if (target.dtype == DType::f64) {
        Reference::lerp(target, alike, weight);
        return;
    }
    require(is_contiguous(target.layout) && target.extents() == alike.extents(),
            "lerp: the target must be contiguous and have the source's extents");
    cpu::updates::lerp(target.data<float>(), contiguous(alike).data<float>(), target.count(), weight);
}

FLOWFAR_INLINE void Cpu::adam_step(const Handle& p, const Handle& g, const Handle& m, const Handle& v,
                                   const AdamOptions& options) {
    for (const Handle& changed : {p, m, v}) {
        cpu::BlockCache::changes(changed);
    }
    cpu::check_update(p.dtype, "adam_step");
    const Handle gradient = contiguous(cast(g, p.dtype));
    if (p.dtype == DType::f64) {
        Reference::adam_step(p, gradient, m, v, options);
        return;
    }
    const auto fits = [&p](const Handle& h) { return h.extents() == p.extents() && h.dtype == p.dtype; };
    require(fits(gradient) && fits(m) && fits(v),
            "adam_step: parameter, gradient and moments must have the same extents and element type");
    require(is_contiguous(p.layout) && is_contiguous(m.layout) && is_contiguous(v.layout),
            "adam_step: parameter and moments must be contiguous");
    cpu::updates::adam(p.data<float>(), gradient.data<float>(), m.data<float>(), v.data<float>(), p.count(), options);
}

}  // namespace flowfar
