#pragma once

/// `Cpu`'s copies. All backends in host memory share memory, random numbers and row selection
/// (backend/host_memory.hpp).

#include "flowfar/backend/cpu/kernels/rows/copy.hpp"
#include "flowfar/backend/cpu/ops/route.hpp"

namespace flowfar {

FLOWFAR_INLINE void Cpu::assign(const Handle& target, const Handle& source) {
    cpu::BlockCache::changes(target);
    const auto computes = [](DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f64; };
    if (target.dtype == source.dtype || (computes(target.dtype) && computes(source.dtype))) {
        cpu::Copy::assign(target, source);
    } else {
        Reference::assign(target, source);  // indices and file types are rare: not worth loops of their own
    }
}

}  // namespace flowfar
