#pragma once

/// Which element type an operation of `Cpu` computes in.

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/cpu/kernels/gemm/bf16_rows.hpp"
#include "flowfar/backend/cpu/runtime/subnormals.hpp"
#include "flowfar/backend/narrow.hpp"
#include "flowfar/backend/reference.hpp"

namespace flowfar::cpu {

/// h in f32 if it is bf16.
[[nodiscard]] inline Handle widen(const Handle& h) {
    return h.defined() && h.dtype == DType::bf16 ? Cpu::cast(h, DType::f32) : h;
}

/// Calls `f32(operands…)` with f32 operands: bf16 ones are widened, beside f32 ones or not, and the results rounded.
/// For f64 operands it calls `f64()`, which is the reference's loops. All operands have the first one's type or, beside
/// bf16, f32. f32 is computed without subnormal numbers, also where a loop is too short for the thread pool.
template <class F32, class F64, class... Rest>
auto route(F32&& f32, F64&& f64, const Handle& first, const Rest&... rest) {
    [[maybe_unused]] const auto is = [](const Handle& h, DType dtype) { return !h.defined() || h.dtype == dtype; };
    if (first.dtype == DType::bf16) {
        require(((is(rest, DType::bf16) || is(rest, DType::f32)) && ...), "cpu: expected F32 elements beside BF16");
        const FlushSubnormals flush;
        return Narrow<Cpu>::of(f32(widen(first), widen(rest)...));
    }
    require((is(rest, first.dtype) && ...), "cpu: operands have different element types; the first has ",
            name_of(first.dtype));
    if (first.dtype == DType::f64) {
        return f64();
    }
    require(first.dtype == DType::f32, "cpu: expected F32, F64 or BF16 elements, found ", name_of(first.dtype));
    const FlushSubnormals flush;
    return f32(first, rest...);
}

/// Whether a product, a convolution or an attention whose first operand has this element type is computed from bf16
/// numbers.
[[nodiscard]] inline bool multiplies_bf16(DType dtype) {
    return has_avx512_bf16() && (dtype == DType::bf16 || (dtype == DType::f32 && ProductPrecision::current().rounded));
}
/// Whether these bf16 operands of a product, perhaps beside f32 ones, need not be widened first.
template <class... Rest>
[[nodiscard]] bool takes_bf16(const Handle& first, const Rest&... rest) {
    return first.dtype == DType::bf16 && multiplies_bf16(first.dtype) &&
           ((rest.dtype == DType::bf16 || rest.dtype == DType::f32) && ...);
}

/// A new tensor for the left operand of products (GemmOptions::pack_result): bf16 rows as they read them, if they round
/// such operands.
[[nodiscard]] inline Handle empty_packed(const Extents& extents, [[maybe_unused]] DType dtype) {
#if defined(FLOWFAR_AVX512_BF16)
    if (extents.rank() > 1 && multiplies_bf16(dtype) && !ProductPrecision::current().quantized &&
        bf16_product::can_be_operand(extents.back())) {
        return {bf16_product::operand_layout(extents), DType::bf16,
                BlockCache::instance().allocate(bf16_product::operand_bytes(extents))};
    }
#endif
    return Cpu::empty(extents, dtype);
}

}  // namespace flowfar::cpu
