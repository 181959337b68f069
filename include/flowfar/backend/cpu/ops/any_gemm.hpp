#pragma once

#include "flowfar/backend/cpu/kernels/gemm/bf16_gemm.hpp"
#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"
#include "flowfar/backend/cpu/kernels/gemm/int8_kernel.hpp"
#include "flowfar/backend/precision.hpp"
#include "flowfar/backend/views.hpp"

namespace flowfar::cpu {

/// Whether a product or an attention whose first operand has this element type is computed from bf16 numbers.
[[nodiscard]] inline bool multiplies_bf16(DType dtype) {
    return has_avx512_bf16() && (dtype == DType::bf16 || (dtype == DType::f32 && ProductPrecision::current().rounded));
}

/// Products by whichever kernel the operands, this thread's precision and the CPU ask for.
struct AnyGemm {
    /// The result's extents; throws `Error` if the operands or the bias do not fit.
    [[nodiscard]] static Extents extents(const Handle& a, const Handle& b, const Handle& bias) {
        require(b.extents()[b.rank() - 2] == a.extents().back(), "gemm: ", a.extents(), " times ", b.extents());
        Extents extents = a.extents();
        extents[a.rank() - 1] = b.extents().back();
        require(!bias.defined() || bias.count() == extents.back(), "gemm: a bias of ", bias.extents(), " for ",
                extents.back(), " columns");
        return extents;
    }

    /// out[batch…, M, N] = options.alpha · a b, finished by the epilogue; b is [batch…, K, N] or [K, N].
    static void run(const Handle& out, const Handle& a, const Handle& b, const Epilogue& epilogue,
                    const GemmOptions& options, Handle (*contiguous)(const Handle&)) {
        Extents batched = a.extents();
        batched[a.rank() - 2] = b.extents()[b.rank() - 2];
        batched[a.rank() - 1] = b.extents().back();
        const Handle right = b.rank() == 2 ? b : b.with(expanded(b.layout, batched));
#if defined(FLOWFAR_AVX512_BF16)
        if (ProductPrecision::current().quantized && has_avx512_int8() && a.dtype == DType::f32 && b.rank() == 2 &&
            a.extents().back() <= int8_product::most_inner) {
            Int8Gemm::run(out, a, right, epilogue, options.alpha, false, contiguous);
            return;
        }
        if (multiplies_bf16(a.dtype)) {
            const bool in_place = options.from_operand && a.dtype == DType::bf16 && b.rank() == 2 &&
                                  bf16_product::can_be_operand(a.extents().back());
            Bf16Gemm::run(out, a, right, epilogue, options.alpha, in_place, contiguous);
            return;
        }
#endif
        Gemm::run(out, a, right, options.alpha, contiguous);
        Gemm::finish(out, epilogue);
    }
};

}  // namespace flowfar::cpu
