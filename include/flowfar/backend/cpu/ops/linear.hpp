#pragma once

/// `Cpu`'s matrix products.

#include "flowfar/backend/cpu/kernels/gemm/bf16_gemm.hpp"
#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"
#include "flowfar/backend/cpu/kernels/gemm/int8_kernel.hpp"
#include "flowfar/backend/cpu/ops/route.hpp"
#include "flowfar/core/shapes/gemm_shape.hpp"

namespace flowfar {

namespace cpu {

/// residual + gate ∘ act(alpha · a b + bias), where residual and gate may be absent. The first kernel that fits:
///
///     operands                                                       kernel
///     f32, one right matrix, Int8Products, a CPU that adds bytes     Int8Gemm
///     bf16, or f32 under Bf16Products, a CPU that adds bf16 pairs    Bf16Gemm, with AMX tiles where there are any
///     f32                                                            Gemm: the widest instructions, the same bits
///     bf16 without such a CPU                                        Gemm, operands widened by route
///     f64                                                            Reference, by route
[[nodiscard]] inline Handle matrix_product(const Handle& residual, const Handle& gate, const Handle& a, const Handle& b,
                                           const Handle& bias, const GemmOptions& options) {
    const GemmShape shape = GemmShape::of(a, b, bias);
    require(!residual.defined() || residual.extents() == shape.result, "gemm_add: adding ", residual.extents(), " to ",
            shape.result);
    const DType dtype = options.packed_input || residual.defined() ? DType::f32 : a.dtype;
    const Handle out = options.pack_result ? empty_packed(shape.result, dtype) : Cpu::empty(shape.result, dtype);
    const Handle offset = Cpu::dense(bias);
    const Handle added = Cpu::dense(residual);
    const Handle factor = Cpu::dense_rows(gate);
    const auto data = [](const Handle& h) { return h.defined() ? h.data<float>() : nullptr; };
    const Epilogue epilogue{.bias = data(offset),
                            .activation = options.activation,
                            .residual = data(added),
                            .gate = {factor, shape.result, "gemm_add: gate"}};
    const auto with_dense_rows = [](const Handle& h) { return Gemm::is_dense(h) ? h : Cpu::contiguous(h); };
    const Handle left = with_dense_rows(a);
    const Handle right = with_dense_rows(b.rank() == 2 ? b : b.with(expanded(b.layout, shape.right)));
#if defined(FLOWFAR_AVX512_BF16)
    if (ProductPrecision::current().quantized && has_avx512_int8() && a.dtype == DType::f32 && b.rank() == 2 &&
        a.extents().back() <= int8_product::most_inner) {
        Int8Gemm::run(out, left, right, epilogue, options.alpha, LeftOperand::matrix);
        return out;
    }
    if (multiplies_bf16(a.dtype)) {
        const bool in_place = options.packed_input && a.dtype == DType::bf16 && b.rank() == 2 &&
                              bf16_product::can_be_operand(a.extents().back());
        Bf16Gemm::run(out, left, right, epilogue, options.alpha, in_place ? LeftOperand::packed : LeftOperand::matrix);
        return out;
    }
#endif
    Gemm::run(out, left, right, options.alpha);
    Gemm::finish(out, epilogue);
    return out;
}

}  // namespace cpu

FLOWFAR_INLINE Handle Cpu::gemm(const Handle& x, const Handle& y, const Handle& bias, GemmOptions options) {
    if (cpu::takes_bf16(x, y)) {
        const cpu::FlushSubnormals flush;
        return cpu::matrix_product({}, {}, x, y, cpu::widen(bias), options);
    }
    return cpu::route([&](const Handle& a, const Handle& b,
                          const Handle& c) { return cpu::matrix_product({}, {}, a, b, c, options); },
                      [&] { return Reference::gemm(x, y, bias, options); }, x, y, bias);
}

FLOWFAR_INLINE Handle Cpu::gemm_add(const Handle& residual, const Handle& gate, const Handle& x, const Handle& y,
                                    const Handle& bias, GemmOptions options) {
    if (residual.dtype == DType::bf16) {  // a product's result is rounded before it is added
        return Composite::gemm_add(residual, gate, x, y, bias, options);
    }
    if (cpu::takes_bf16(x, y)) {
        const cpu::FlushSubnormals flush;
        return cpu::matrix_product(residual, gate, x, y, bias, options);
    }
    return cpu::route([&](const Handle& r, const Handle& f, const Handle& a, const Handle& b,
                          const Handle& c) { return cpu::matrix_product(r, f, a, b, c, options); },
                      [&] { return Reference::gemm_add(residual, gate, x, y, bias, options); }, residual, gate, x, y,
                      bias);
}

}  // namespace flowfar
