#pragma once

/// The runtime API's functions for memory and its pools.

#include "runtime.hpp"

using cudaMemPool_t = CUmemPoolHandle_st*;

inline constexpr unsigned cudaHostAllocDefault = 0;
enum cudaMemoryType {
    cudaMemoryTypeUnregistered = 0,
    cudaMemoryTypeHost = 1,
    cudaMemoryTypeDevice = 2,
    cudaMemoryTypeManaged = 3,
};
struct cudaPointerAttributes {
    cudaMemoryType type = cudaMemoryTypeUnregistered;
    int device = 0;
    void* devicePointer = nullptr;
    void* hostPointer = nullptr;
};

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4
};
enum cudaMemPoolAttr {
    cudaMemPoolReuseFollowEventDependencies = 1,
    cudaMemPoolReuseAllowOpportunistic = 2,
    cudaMemPoolReuseAllowInternalDependencies = 3,
    cudaMemPoolAttrReleaseThreshold = 4,
    cudaMemPoolAttrReservedMemCurrent = 5,
    cudaMemPoolAttrReservedMemHigh = 6,
    cudaMemPoolAttrUsedMemCurrent = 7,
    cudaMemPoolAttrUsedMemHigh = 8
};
enum cudaMemAllocationType { cudaMemAllocationTypeInvalid = 0, cudaMemAllocationTypePinned = 1 };
enum cudaMemAllocationHandleType { cudaMemHandleTypeNone = 0 };
enum cudaMemLocationType { cudaMemLocationTypeInvalid = 0, cudaMemLocationTypeDevice = 1 };

struct cudaMemLocation {
    cudaMemLocationType type;
    int id;
};
struct cudaMemPoolProps {
    cudaMemAllocationType allocType;
    cudaMemAllocationHandleType handleTypes;
    cudaMemLocation location;
    void* win32SecurityAttributes;
    std::size_t maxSize;
    unsigned short usage;
    unsigned char reserved[54];
};
namespace cuda_emulation {

inline cudaError_t allocate(void** out, std::size_t bytes, cudaStream_t stream, CUmemPoolHandle_st* pool) {
    if (stream != nullptr && stream->capture != nullptr) {
        // A node of the graph: each replay takes the memory anew. Nobody may free it but the graph.
        *out = device().allocate(std::max<std::size_t>(bytes, 1), nullptr);
        device().owned_by_graphs.insert(*out);
        return cudaSuccess;
    }
    *out = bytes == 0 ? nullptr : device().allocate(bytes, pool);
    if (*out == nullptr && bytes != 0) {
        device().finish();  // what was freed on a stream may serve
        *out = device().allocate(bytes, pool);
    }
    return result(bytes == 0 || *out != nullptr, cudaErrorMemoryAllocation);
}
[[nodiscard]] inline cudaMemPool_t default_pool() {
    static CUmemPoolHandle_st pool;
    return &pool;
}

}  // namespace cuda_emulation

// Memory
inline cudaError_t cudaMallocFromPoolAsync(void** out, std::size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
    return cuda_emulation::allocate(out, bytes, stream, pool);
}
template <class T>
cudaError_t cudaMallocAsync(T** out, std::size_t bytes, cudaStream_t stream) {
    return cudaMallocFromPoolAsync(reinterpret_cast<void**>(out), bytes, cuda_emulation::default_pool(), stream);
}
template <class T>
cudaError_t cudaMalloc(T** out, std::size_t bytes) {
    return cuda_emulation::allocate(reinterpret_cast<void**>(out), bytes, nullptr, nullptr);
}
inline cudaError_t cudaFree(void* block) {
    cuda_emulation::device().finish();
    return cuda_emulation::result(block == nullptr || cuda_emulation::device().release(block));
}
inline cudaError_t cudaFreeAsync(void* block, cudaStream_t stream) {
    const bool captured = stream != nullptr && stream->capture != nullptr;
    if (captured != cuda_emulation::device().owned_by_graphs.contains(block)) {
        return cuda_emulation::device().set(cudaErrorInvalidValue);
    }
    cuda_emulation::device().submit(stream, [block] {
        if (!cuda_emulation::device().release(block)) {
            throw cuda_emulation::Fault("cuda emulation: cudaFreeAsync of an address that is not allocated");
        }
    });
    return cudaSuccess;
}
template <class T>
cudaError_t cudaMallocHost(T** out, std::size_t bytes, unsigned /*flags*/ = 0) {
    *out = static_cast<T*>(std::malloc(bytes));
    cuda_emulation::device().lock_pages(*out, bytes);
    return cuda_emulation::result(*out != nullptr, cudaErrorMemoryAllocation);
}
template <class T>
cudaError_t cudaHostAlloc(T** out, std::size_t bytes, unsigned flags) {
    return cudaMallocHost(out, bytes, flags);
}
inline cudaError_t cudaFreeHost(void* block) {
    cuda_emulation::device().unlock_pages(block);
    std::free(block);
    return cudaSuccess;
}
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
    *attributes = {};
    attributes->type =
        cuda_emulation::device().is_page_locked(address) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
    *total = cuda_emulation::device().memory;
    *free_bytes = *total - cuda_emulation::device().used();
    return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream = nullptr) {
    ++cuda_emulation::device().counters.copies;
    if (kind == cudaMemcpyHostToDevice && !cuda_emulation::device().is_page_locked(source)) {
        // Read at once. The driver may wait for the stream before it copies so much that it needs memory for it.
        if (bytes > 65536 && cuda_emulation::wait(stream) != cudaSuccess) {
            return cudaErrorStreamCaptureUnsupported;
        }
        const auto* const from = static_cast<const std::byte*>(source);
        cuda_emulation::device().submit(stream, [target, copy = std::vector<std::byte>(from, from + bytes)] {
            std::copy(copy.begin(), copy.end(), static_cast<std::byte*>(target));
        });
        return cudaSuccess;
    }
    cuda_emulation::device().submit(stream, [=] {
        if (bytes != 0) {
            std::memmove(target, source, bytes);
        }
    });
    return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
    const cudaError_t status = cudaMemcpyAsync(target, source, bytes, kind, nullptr);
    return status == cudaSuccess ? cuda_emulation::wait(nullptr) : status;
}
inline cudaError_t cudaMemcpy2DAsync(void* target, std::size_t target_pitch, const void* source,
                                     std::size_t source_pitch, std::size_t width, std::size_t height,
                                     cudaMemcpyKind /*kind*/, cudaStream_t stream = nullptr) {
    ++cuda_emulation::device().counters.copies;
    cuda_emulation::device().submit(stream, [=] {
        for (std::size_t row = 0; width != 0 && row < height; ++row) {
            std::memmove(static_cast<char*>(target) + row * target_pitch,
                         static_cast<const char*>(source) + row * source_pitch, width);
        }
    });
    return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* target, int value, std::size_t bytes, cudaStream_t stream = nullptr) {
    cuda_emulation::device().submit(stream, [=] {
        if (bytes != 0) {
            std::memset(target, value, bytes);
        }
    });
    return cudaSuccess;
}
inline cudaError_t cudaMemset(void* target, int value, std::size_t bytes) {
    return cudaMemsetAsync(target, value, bytes, nullptr);
}

// Pools
inline cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
    *pool = new CUmemPoolHandle_st;
    (*pool)->limit = properties->maxSize;
    return cudaSuccess;
}
inline cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
    delete pool;
    return cudaSuccess;
}
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int /*device*/) {
    *pool = cuda_emulation::default_pool();
    return cudaSuccess;
}
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
    const std::uint64_t number = attribute <= cudaMemPoolReuseAllowInternalDependencies
                                     ? static_cast<std::uint64_t>(*static_cast<int*>(value))
                                     : *static_cast<std::uint64_t*>(value);
    if (attribute == cudaMemPoolAttrReleaseThreshold) {
        pool->threshold = number;
    } else if (attribute == cudaMemPoolAttrUsedMemHigh) {
        pool->used_high = pool->used;
    }
    return cudaSuccess;
}
inline cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
    auto* number = static_cast<std::uint64_t*>(value);
    switch (attribute) {
        case cudaMemPoolAttrReleaseThreshold:
            *number = pool->threshold;
            break;
        case cudaMemPoolAttrReservedMemCurrent:
            *number = pool->reserved;
            break;
        case cudaMemPoolAttrUsedMemCurrent:
            *number = pool->used;
            break;
        case cudaMemPoolAttrReservedMemHigh:
        case cudaMemPoolAttrUsedMemHigh:
            *number = pool->used_high;
            break;
        default:
            *static_cast<int*>(value) = 1;
    }
    return cudaSuccess;
}
inline cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t bytes) {
    pool->reserved = std::max(pool->pieces, std::min(pool->reserved, bytes));
    return cudaSuccess;
}
