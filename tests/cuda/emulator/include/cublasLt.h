#pragma once

/// A stand-in for cuBLASLt: products by plain loops that honor layouts, transposes, batches, epilogues and alignment
/// promises as the library does, so that wrong descriptions give wrong numbers or errors.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <cuda_runtime.h>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/functors/unary_functor.hpp"

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_INVALID_VALUE = 7, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68 };
enum cublasOperation_t : std::int32_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasLtEpilogue_t : std::uint32_t {
    CUBLASLT_EPILOGUE_DEFAULT = 1,
    CUBLASLT_EPILOGUE_BIAS = 4,
    CUBLASLT_EPILOGUE_GELU = 32,
    CUBLASLT_EPILOGUE_GELU_BIAS = 36
};
enum cublasLtReductionScheme_t : std::uint32_t {
    CUBLASLT_REDUCTION_SCHEME_NONE = 0,
    CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2
};
enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA = 3,
    CUBLASLT_MATMUL_DESC_TRANSB = 4,
    CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
    CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE = 26
};
enum cublasLtMatrixLayoutAttribute_t {
    CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT = 5,
    CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET = 6
};
enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8
};
enum cublasLtMatmulAlgoConfigAttributes_t { CUBLASLT_ALGO_CONFIG_SPLITK_NUM = 2 };

namespace cuda_emulation {

struct LtHandle {};
struct LtDescription {
    cublasOperation_t first = CUBLAS_OP_N;
    cublasOperation_t second = CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void* bias = nullptr;
    cudaDataType_t bias_type = CUDA_R_32F;
};
struct LtLayout {
    cudaDataType_t type;
    std::uint64_t rows;
    std::uint64_t columns;
    std::int64_t ld;
    std::int32_t batches = 1;
    std::int64_t stride = 0;
};
struct LtPreference {
    std::uint64_t workspace = 0;
    std::uint32_t schemes = 7;
    std::uint32_t alignment[4] = {256, 256, 256, 256};  ///< of A, B, C, D
};

template <class T>
[[nodiscard]] cublasStatus_t lt_read(T& field, const void* value, std::size_t size) {
    if (size != sizeof(T)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    std::memcpy(&field, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

}  // namespace cuda_emulation

using cublasLtHandle_t = cuda_emulation::LtHandle*;
using cublasLtMatmulDesc_t = cuda_emulation::LtDescription*;
using cublasLtMatrixLayout_t = cuda_emulation::LtLayout*;
using cublasLtMatmulPreference_t = cuda_emulation::LtPreference*;

/// What an algorithm was chosen for; a product that breaks the promise is refused.
struct cublasLtMatmulAlgo_t {
    std::uint64_t rows;
    std::uint64_t columns;
    std::uint64_t inner;
    std::uint64_t workspace;
    std::uint32_t alignment[4];
};
struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    std::size_t workspaceSize;
    cublasStatus_t state;
    float wavesCount;
    int reserved[4];
};

namespace cuda_emulation {

[[nodiscard]] inline float lt_load(const void* data, cudaDataType_t type, std::int64_t at) {
    return type == CUDA_R_16BF ? static_cast<float>(static_cast<const flowfar::bf16*>(data)[at])
                               : static_cast<const float*>(data)[at];
}
inline void lt_store(void* data, cudaDataType_t type, std::int64_t at, float value) {
    if (type == CUDA_R_16BF) {
        static_cast<flowfar::bf16*>(data)[at] = flowfar::bf16(value);
    } else {
        static_cast<float*>(data)[at] = value;
    }
}

struct LtProduct {
    LtDescription description;
    LtLayout a;
    LtLayout b;
    LtLayout d;
    float alpha;
    float beta;
    const void* first;
    const void* second;
    void* out;

    [[nodiscard]] std::uint64_t inner() const { return description.first == CUBLAS_OP_N ? a.columns : a.rows; }

    /// Whether the shapes fit together and no matrix overlaps itself.
    [[nodiscard]] bool valid() const {
        const std::uint64_t m = description.first == CUBLAS_OP_N ? a.rows : a.columns;
        const std::uint64_t n = description.second == CUBLAS_OP_N ? b.columns : b.rows;
        const std::uint64_t k = description.second == CUBLAS_OP_N ? b.rows : b.columns;
        bool good = m == d.rows && n == d.columns && k == inner() && m > 0 && n > 0 && k > 0;
        for (const LtLayout* layout : {&a, &b, &d}) {
            good = good && layout->ld >= static_cast<std::int64_t>(layout->rows) && layout->batches == d.batches;
        }
        const bool biased = (description.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
        return good && a.type == b.type && (a.type == CUDA_R_16BF || d.type == CUDA_R_32F) &&
               biased == (description.bias != nullptr) && (!biased || description.bias_type == d.type);
    }

    void run() const {
        for (std::int64_t batch = 0; batch < d.batches; ++batch) {
            for (std::int64_t column = 0; column < static_cast<std::int64_t>(d.columns); ++column) {
                for (std::int64_t row = 0; row < static_cast<std::int64_t>(d.rows); ++row) {
                    element(batch, row, column);
                }
            }
        }
    }

   private:
    void element(std::int64_t batch, std::int64_t row, std::int64_t column) const {
        const auto at = [](const LtLayout& layout, bool transposed, std::int64_t r, std::int64_t c) {
            return transposed ? c + r * layout.ld : r + c * layout.ld;
        };
        float sum = 0.0F;
        for (std::int64_t k = 0; k < static_cast<std::int64_t>(inner()); ++k) {
            sum += lt_load(first, a.type, batch * a.stride + at(a, description.first == CUBLAS_OP_T, row, k)) *
                   lt_load(second, b.type, batch * b.stride + at(b, description.second == CUBLAS_OP_T, k, column));
        }
        const std::int64_t place = batch * d.stride + row + column * d.ld;
        float value = alpha * sum;
        if (beta != 0.0F) {
            value += beta * lt_load(out, d.type, place);
        }
        if (description.bias != nullptr) {
            value += lt_load(description.bias, d.type, row);
        }
        if ((description.epilogue & CUBLASLT_EPILOGUE_GELU) != 0) {
            value = flowfar::UnaryFunctor<flowfar::UnaryOp::gelu_tanh>::forward(value, 0.0F, 0.0F);
        }
        lt_store(out, d.type, place, value);
    }
};

}  // namespace cuda_emulation

[[nodiscard]] inline const char* cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_SUCCESS         ? "success"
           : status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported"
                                                   : "invalid";
}
inline cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    static cuda_emulation::LtHandle only;
    *handle = &only;
    return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* out, cublasComputeType_t /*compute*/,
                                               cudaDataType_t /*scale*/) {
    *out = new cuda_emulation::LtDescription;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
    delete description;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                                     const void* value, std::size_t size) {
    switch (attribute) {
        case CUBLASLT_MATMUL_DESC_TRANSA:
            return cuda_emulation::lt_read(d->first, value, size);
        case CUBLASLT_MATMUL_DESC_TRANSB:
            return cuda_emulation::lt_read(d->second, value, size);
        case CUBLASLT_MATMUL_DESC_EPILOGUE:
            return cuda_emulation::lt_read(d->epilogue, value, size);
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
            return cuda_emulation::lt_read(d->bias, value, size);
        case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
            return cuda_emulation::lt_read(d->bias_type, value, size);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

inline cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* out, cudaDataType_t type, std::uint64_t rows,
                                                 std::uint64_t columns, std::int64_t ld) {
    *out = new cuda_emulation::LtLayout{type, rows, columns, ld};
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                       cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                       std::size_t size) {
    return attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? cuda_emulation::lt_read(layout->batches, value, size)
                                                           : cuda_emulation::lt_read(layout->stride, value, size);
}

inline cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* out) {
    *out = new cuda_emulation::LtPreference;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                           cublasLtMatmulPreferenceAttributes_t attribute,
                                                           const void* value, std::size_t size) {
    switch (attribute) {
        case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
            return cuda_emulation::lt_read(p->workspace, value, size);
        case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
            return cuda_emulation::lt_read(p->schemes, value, size);
        default:
            return cuda_emulation::lt_read(p->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
                                           size);
    }
}

/// One algorithm; it needs matrices whose elements are aligned, as cuBLASLt does.
inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t description,
                                                     cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t /*d*/,
                                                     cublasLtMatmulPreference_t preference, int wanted,
                                                     cublasLtMatmulHeuristicResult_t* found, int* count) {
    const cuda_emulation::LtProduct product{*description, *a, *b, *c, 1.0F, 0.0F, nullptr, nullptr, nullptr};
    *count = 0;
    if (!product.valid() || wanted < 1) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    *found = {};
    found->algo = {c->rows, c->columns, product.inner(), preference->workspace, {}};
    std::memcpy(found->algo.alignment, preference->alignment, sizeof preference->alignment);
    found->state = CUBLAS_STATUS_SUCCESS;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* /*algorithm*/,
                                                           cublasLtMatmulAlgoConfigAttributes_t /*attribute*/,
                                                           void* value, std::size_t /*size*/, std::size_t* written) {
    const std::int32_t one = 1;
    std::memcpy(value, &one, sizeof one);
    *written = sizeof one;
    return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t description, const void* alpha,
                                     const void* first, cublasLtMatrixLayout_t a, const void* second,
                                     cublasLtMatrixLayout_t b, const void* beta, const void* c,
                                     cublasLtMatrixLayout_t c_layout, void* out, cublasLtMatrixLayout_t d,
                                     const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t workspace_size,
                                     cudaStream_t stream) {
    const cuda_emulation::LtProduct product{
        *description, *a,     *b, *d, *static_cast<const float*>(alpha), *static_cast<const float*>(beta),
        first,        second, out};
    const auto aligned = [](const void* pointer, std::uint32_t bytes) {
        return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
    };
    const bool kept = algorithm->rows == d->rows && algorithm->columns == d->columns &&
                      algorithm->inner == product.inner() && aligned(first, algorithm->alignment[0]) &&
                      aligned(second, algorithm->alignment[1]) && aligned(c, algorithm->alignment[2]) &&
                      aligned(out, algorithm->alignment[3]) && workspace_size >= algorithm->workspace &&
                      aligned(workspace, 256);
    if (!product.valid() || !kept || c != out || c_layout != d) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (const auto& hears = cuda_emulation::device().on_launch) {
        hears("product " + std::to_string(d->columns) + " x " + std::to_string(product.inner()) + " x " +
              std::to_string(d->rows) + " x " + std::to_string(d->batches));
    }
    cuda_emulation::device().submit(stream, [product] { product.run(); });
    return CUBLAS_STATUS_SUCCESS;
}
