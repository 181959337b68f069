#pragma once

/// cuBLASLt: one product of (batches of) matrices with bias and GELU. Algorithms are chosen once per problem.

#include <array>
#include <cublasLt.h>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "flowfar/backend/cuda/runtime/device.cuh"
#include "flowfar/backend/cuda/runtime/runtime.cuh"
#include "flowfar/core/dtype.hpp"

namespace flowfar::cuda {

/// An operand [rows, columns] whose elements lie at row · ld + column, or with `row_major` false at row + column · ld.
struct MatrixOperand {
    const void* data = nullptr;
    Index ld = 0;
    bool row_major = true;
    Index batch_stride = 0;  ///< elements; 0 repeats the matrix
};

/// c = alpha · a b + beta · c, then + bias [columns] per row, then GELU (tanh form). a [rows, inner], b [inner,
/// columns]; c is row-major. All extents are positive.
struct MatrixProduct {
    DType in = DType::f32;
    DType out = DType::f32;
    Index rows = 0;
    Index inner = 0;
    Index columns = 0;
    Index batches = 1;
    MatrixOperand a;
    MatrixOperand b;
    void* c = nullptr;
    Index ldc = 0;
    Index c_stride = 0;
    double alpha = 1.0;
    double beta = 0.0;
    const void* bias = nullptr;
    bool gelu = false;
};

inline void check(cublasStatus_t status, std::string_view what) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        fail("cuda: ", what, ": ", cublasLtGetStatusString(status));
    }
}

namespace detail {

template <auto Destroy>
struct Destroyer {
    template <class T>
    void operator()(T* opaque) const {
        static_cast<void>(Destroy(opaque));
    }
};
template <class T, auto Destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<T>, Destroyer<Destroy>>;

using LtDescription = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using LtLayout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using LtPreference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

[[nodiscard]] inline cudaDataType_t lt_type(DType type) {
    return type == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}
/// The largest power of two up to 256 that divides an address; 256 for none.
[[nodiscard]] inline std::uint32_t alignment_of(const void* address) {
    const auto bits = reinterpret_cast<std::uintptr_t>(address) | 256U;
    return static_cast<std::uint32_t>(bits & (~bits + 1));
}

}  // namespace detail

/// The library's handle, its workspaces and the algorithms chosen so far; one per process. Thread-safe.
class LtEngine {
   public:
    static LtEngine& instance() {
        static LtEngine* engine = new LtEngine;  // never destroyed: the library may be gone when main is over
        return *engine;
    }

    /// Queues the product on the current stream; false if cuBLASLt has no algorithm for it.
    [[nodiscard]] bool multiply(const MatrixProduct& p) {
        // The row-major product c = a b is the column-major cᵀ = bᵀ aᵀ: cuBLASLt's first operand is b, its m is our
        // number of columns, and a row-major matrix is one that it need not transpose.
        const detail::LtDescription description = describe(p);
        const detail::LtLayout first = layout(p.in, p.b, p.columns, p.inner, p.batches);
        const detail::LtLayout second = layout(p.in, p.a, p.inner, p.rows, p.batches);
        const detail::LtLayout result = layout(p.out, {p.c, p.ldc, true, p.c_stride}, p.columns, p.rows, p.batches);
        const cudaStream_t stream = current_stream();
        const auto alpha = static_cast<float>(p.alpha);
        const auto beta = static_cast<float>(p.beta);
        const std::lock_guard lock(mutex_);
        const Recording* const recording = Recording::current();
        const std::shared_ptr<std::byte>& workspace = workspace_of(recording != nullptr ? recording->home : stream);
        const auto [found, fresh] = algorithms_.try_emplace(key_of(p));
        if (fresh) {
            found->second = choose(p, description.get(), first.get(), second.get(), result.get());
        }
        if (!found->second) {
            return false;
        }
        check(cublasLtMatmul(handle_, description.get(), &alpha, p.b.data, first.get(), p.a.data, second.get(), &beta,
                             p.c, result.get(), p.c, result.get(), &*found->second, workspace.get(), workspace_size_,
                             stream),
              "cublasLtMatmul");
        return true;
    }

    /// Problems for which an algorithm has been looked up.
    [[nodiscard]] std::size_t known() const {
        const std::lock_guard lock(mutex_);
        return algorithms_.size();
    }

   private:
    using Key = std::array<Index, 22>;

    LtEngine() {
        check(cublasLtCreate(&handle_), "cublasLtCreate");
        const bool large = device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9;
        workspace_size_ = std::size_t{large ? 32U : 4U} << 20;  // what the library's guide recommends
    }

    [[nodiscard]] static Key key_of(const MatrixProduct& p) {
        return {static_cast<Index>(p.in),
                static_cast<Index>(p.out),
                p.rows,
                p.inner,
                p.columns,
                p.batches,
                p.a.ld,
                p.a.row_major ? 1 : 0,
                p.a.batch_stride,
                p.b.ld,
                p.b.row_major ? 1 : 0,
                p.b.batch_stride,
                p.ldc,
                p.c_stride,
                p.beta == 0.0 ? 0 : 1,
                p.bias != nullptr ? 1 : 0,
                p.gelu ? 1 : 0,
                detail::alignment_of(p.a.data),
                detail::alignment_of(p.b.data),
                detail::alignment_of(p.c),
                detail::alignment_of(p.bias),
                current_device()};
    }

    template <class T>
    static void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, const T& value) {
        check(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value), "cublasLtMatmulDesc");
    }
    [[nodiscard]] static detail::LtDescription describe(const MatrixProduct& p) {
        cublasLtMatmulDesc_t made = nullptr;
        check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
        detail::LtDescription out(made);
        const cublasOperation_t first = p.b.row_major ? CUBLAS_OP_N : CUBLAS_OP_T;
        const cublasOperation_t second = p.a.row_major ? CUBLAS_OP_N : CUBLAS_OP_T;
        set(made, CUBLASLT_MATMUL_DESC_TRANSA, first);
        set(made, CUBLASLT_MATMUL_DESC_TRANSB, second);
        const cublasLtEpilogue_t epilogue = p.bias != nullptr
                                                ? (p.gelu ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_BIAS)
                                                : (p.gelu ? CUBLASLT_EPILOGUE_GELU : CUBLASLT_EPILOGUE_DEFAULT);
        set(made, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
        if (p.bias != nullptr) {
            set(made, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
            set(made, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, detail::lt_type(p.out));
        }
        return out;
    }

    /// A column-major matrix [rows, columns], or its transpose where the operand is not row-major in our terms.
    [[nodiscard]] static detail::LtLayout layout(DType type, const MatrixOperand& operand, Index rows, Index columns,
                                                 Index batches) {
        if (!operand.row_major) {
            std::swap(rows, columns);
        }
        cublasLtMatrixLayout_t made = nullptr;
        check(cublasLtMatrixLayoutCreate(&made, detail::lt_type(type), static_cast<std::uint64_t>(rows),
                                         static_cast<std::uint64_t>(columns), operand.ld),
              "cublasLtMatrixLayoutCreate");
        detail::LtLayout out(made);
        if (batches > 1) {
            const auto count = static_cast<std::int32_t>(batches);
            const std::int64_t stride = operand.batch_stride;
            check(cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
                  "cublasLtMatrixLayout");
            check(cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                                   sizeof stride),
                  "cublasLtMatrixLayout");
        }
        return out;
    }

    [[nodiscard]] const std::shared_ptr<std::byte>& workspace_of(cudaStream_t stream) {
        std::shared_ptr<std::byte>& workspace = workspaces_[stream];
        if (workspace == nullptr) {
            workspace = Memory::instance().allocate(workspace_size_);
        }
        return workspace;
    }

    [[nodiscard]] std::optional<cublasLtMatmulAlgo_t> choose(const MatrixProduct& p, cublasLtMatmulDesc_t description,
                                                             cublasLtMatrixLayout_t first,
                                                             cublasLtMatrixLayout_t second,
                                                             cublasLtMatrixLayout_t result) const {
        // Partial sums of a split inner extent are added in the computing type only; other schemes round in between.
        for (const std::uint32_t schemes : {std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}, std::uint32_t{0}}) {
            cublasLtMatmulPreference_t made = nullptr;
            check(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
            const detail::LtPreference preference(made);
            const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
                check(cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof value),
                      "cublasLtMatmulPreference");
            };
            prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_size_});
            prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
            prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, detail::alignment_of(p.b.data));
            prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, detail::alignment_of(p.a.data));
            prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, detail::alignment_of(p.c));
            prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, detail::alignment_of(p.c));
            constexpr int wanted = 8;
            cublasLtMatmulHeuristicResult_t found[wanted] = {};
            int count = 0;
            const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, description, first, second, result,
                                                                         result, made, wanted, found, &count);
            for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < count; ++i) {
                if (found[i].state == CUBLAS_STATUS_SUCCESS && splits_evenly(found[i].algo, p.inner)) {
                    return found[i].algo;
                }
            }
        }
        return std::nullopt;
    }

    /// cuBLASLt 12.6 to 13.4 multiplies wrongly on Hopper when it splits the inner extent into unequal parts.
    [[nodiscard]] static bool splits_evenly(const cublasLtMatmulAlgo_t& algorithm, Index inner) {
        std::int32_t parts = 1;
        std::size_t written = 0;
        const cublasStatus_t status = cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                                                           &parts, sizeof parts, &written);
        return status == CUBLAS_STATUS_SUCCESS && (parts <= 1 || inner % parts == 0);
    }

    mutable std::mutex mutex_;
    cublasLtHandle_t handle_ = nullptr;
    std::size_t workspace_size_ = 0;
    std::map<cudaStream_t, std::shared_ptr<std::byte>> workspaces_;
    std::map<Key, std::optional<cublasLtMatmulAlgo_t>> algorithms_;
};

}  // namespace flowfar::cuda
