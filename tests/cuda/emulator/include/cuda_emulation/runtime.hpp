#pragma once

/// The runtime API's functions for devices, streams, events and launches, as far as the library uses them.

#include <tuple>
#include <utility>

#include "device.hpp"

using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;

inline constexpr unsigned cudaStreamDefault = 0;
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDefault = 0;
inline constexpr unsigned cudaEventDisableTiming = 2;

enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
    cudaDevAttrMemoryPoolsSupported = 115
};
struct cudaDeviceProp {
    char name[256];
    std::size_t totalGlobalMem;
    std::size_t sharedMemPerBlock;
    std::size_t sharedMemPerBlockOptin;
    int major;
    int minor;
    int multiProcessorCount;
    int maxThreadsPerBlock;
    int maxThreadsPerMultiProcessor;
    int warpSize;
    int l2CacheSize;
    int regsPerBlock;
};
struct cudaFuncAttributes {
    std::size_t sharedSizeBytes;
    std::size_t constSizeBytes;
    std::size_t localSizeBytes;
    int maxThreadsPerBlock;
    int numRegs;
    int ptxVersion;
    int binaryVersion;
};
struct cudaLaunchAttribute {
    int id;
};
struct cudaLaunchConfig_t {
    dim3 gridDim;
    dim3 blockDim;
    std::size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute* attrs;
    unsigned numAttrs;
};

namespace cuda_emulation {

[[nodiscard]] inline Device& device() {
    return Device::instance();
}
[[nodiscard]] inline cudaError_t result(bool good, cudaError_t error = cudaErrorInvalidValue) {
    return device().set(good ? cudaSuccess : error);
}
/// Waits for the stream's work; not while it is captured.
[[nodiscard]] inline cudaError_t wait(cudaStream_t stream) {
    if (stream != nullptr && stream->capture != nullptr) {
        stream->capture->invalid = true;
        return device().set(cudaErrorStreamCaptureUnsupported);
    }
    ++device().counters.synchronizations;
    device().finish();
    return cudaSuccess;
}

}  // namespace cuda_emulation

// Errors, devices
[[nodiscard]] inline const char* cudaGetErrorName(cudaError_t error) {
    return error == cudaSuccess                 ? "cudaSuccess"
           : error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
           : error == cudaErrorNoDevice         ? "cudaErrorNoDevice"
                                                : "cudaError";
}
[[nodiscard]] inline const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaSuccess                         ? "no error"
           : error == cudaErrorInvalidValue             ? "invalid argument"
           : error == cudaErrorMemoryAllocation         ? "out of memory"
           : error == cudaErrorInvalidConfiguration     ? "invalid configuration argument"
           : error == cudaErrorNoDevice                 ? "no CUDA-capable device is detected"
           : error == cudaErrorStreamCaptureUnsupported ? "operation not permitted when stream is capturing"
           : error == cudaErrorInvalidResourceHandle    ? "invalid resource handle"
           : error == cudaErrorCapturedEvent ? "operation not permitted on an event last recorded in a capturing stream"
                                             : "unknown error";
}
inline cudaError_t cudaGetLastError() {
    return cuda_emulation::device().take_last();
}
inline cudaError_t cudaPeekAtLastError() {
    return cuda_emulation::device().last();
}
inline cudaError_t cudaGetDeviceCount(int* count) {
    *count = cuda_emulation::device().count;
    return cuda_emulation::result(*count > 0, cudaErrorNoDevice);
}
inline cudaError_t cudaGetDevice(int* number) {
    *number = cuda_emulation::Device::current();
    return cuda_emulation::result(cuda_emulation::device().count > 0, cudaErrorNoDevice);
}
inline cudaError_t cudaSetDevice(int number) {
    if (number < 0 || number >= cuda_emulation::device().count) {
        return cuda_emulation::device().set(cudaErrorInvalidDevice);
    }
    cuda_emulation::Device::current() = number;
    return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
inline cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int number) {
    const auto& d = cuda_emulation::device();
    *out = {"emulated device",
            d.memory,
            48 * 1024,
            d.shared_limit,
            d.capability_major,
            d.capability_minor,
            d.multiprocessors,
            1024,
            1536,
            32,
            1 << 20,
            65536};
    return cuda_emulation::result(number >= 0 && number < d.count, cudaErrorInvalidDevice);
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int number) {
    const auto& d = cuda_emulation::device();
    switch (attribute) {
        case cudaDevAttrMaxThreadsPerBlock:
            *value = 1024;
            break;
        case cudaDevAttrMultiProcessorCount:
            *value = d.multiprocessors;
            break;
        case cudaDevAttrComputeCapabilityMajor:
            *value = d.capability_major;
            break;
        case cudaDevAttrComputeCapabilityMinor:
            *value = d.capability_minor;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *value = static_cast<int>(d.shared_limit);
            break;
        case cudaDevAttrMemoryPoolsSupported:
            *value = 1;
            break;
    }
    return cuda_emulation::result(number >= 0 && number < d.count, cudaErrorInvalidDevice);
}
inline cudaError_t cudaDeviceSynchronize() {
    return cuda_emulation::wait(nullptr);
}

// Streams and events
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
    *stream = new CUstream_st{nullptr, cuda_emulation::Device::current()};
    return cudaSuccess;
}
inline cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    cuda_emulation::device().finish();
    delete stream;
    return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return cuda_emulation::wait(stream);
}
inline cudaError_t cudaStreamQuery(cudaStream_t /*stream*/) {
    return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned /*flags*/ = 0) {
    if (event != nullptr) {
        cuda_emulation::device().submit(
            stream, [] {}, [event, wanted = event->asked] { return event->done >= wanted; });
    }
    return cuda_emulation::result(event != nullptr);
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned /*flags*/) {
    *event = new CUevent_st;
    (*event)->device = cuda_emulation::Device::current();
    return cudaSuccess;
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event) {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}
/// Waits for nothing: an event that streams have not come to yet goes when they have.
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
    event->abandoned = true;
    if (!event->ahead()) {
        delete event;
    }
    return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr) {
    if (stream != nullptr && stream->device != event->device) {
        return cuda_emulation::device().set(cudaErrorInvalidResourceHandle);
    }
    event->recorded = true;
    event->captured = stream != nullptr && stream->capture != nullptr;
    if (!event->captured) {
        ++event->asked;
        cuda_emulation::device().submit(stream, [event] {
            ++event->done;
            if (event->abandoned && !event->ahead()) {
                delete event;
            }
        });
    }
    return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (event->captured) {
        return cuda_emulation::device().set(cudaErrorCapturedEvent);
    }
    if (event->ahead()) {
        ++cuda_emulation::device().counters.synchronizations;
        cuda_emulation::device().finish_until([event] { return !event->ahead(); });
    }
    return cudaSuccess;
}
inline cudaError_t cudaEventQuery(cudaEvent_t event) {
    if (event->captured) {
        return cuda_emulation::device().set(cudaErrorCapturedEvent);
    }
    return cuda_emulation::result(!event->ahead(), cudaErrorNotReady);
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
    *milliseconds = 1.0F;
    return cuda_emulation::result(start->recorded && end->recorded, cudaErrorInvalidResourceHandle);
}

// Launches
template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute, int value) {
    auto& d = cuda_emulation::device();
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
        if (value < 0 || static_cast<std::size_t>(value) > d.shared_limit) {
            return d.set(cudaErrorInvalidValue);
        }
        d.opted_in[reinterpret_cast<const void*>(kernel)] = static_cast<std::size_t>(value);
    }
    return cudaSuccess;
}
/// Sizes are not known here; the static shared memory is 1 byte, as if every kernel had some.
template <class... Parameters>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* out, void (*)(Parameters...)) {
    *out = {1, 0, 0, 1024, 255, 0, 0};
    return cudaSuccess;
}
template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*)(Parameters...), int threads,
                                                          std::size_t /*shared_bytes*/) {
    *blocks = std::max(1, 1536 / std::max(threads, 1));
    return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
    auto& d = cuda_emulation::device();
    const dim3 grid = config->gridDim;
    const dim3 block = config->blockDim;
    const std::size_t threads = std::size_t{block.x} * block.y * block.z;
    if (d.count == 0) {
        return d.set(cudaErrorNoDevice);
    }
    if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.x > 0x7FFFFFFFU || grid.y == 0 ||
        grid.y > 65535 || grid.z == 0 || grid.z > 65535) {
        return d.set(cudaErrorInvalidConfiguration);
    }
    if (config->stream != nullptr && config->stream->device != cuda_emulation::Device::current()) {
        return d.set(cudaErrorInvalidResourceHandle);
    }
    const std::size_t shared_bytes = config->dynamicSmemBytes;
    if (shared_bytes > std::max<std::size_t>(48 * 1024, d.opted_in[reinterpret_cast<const void*>(kernel)])) {
        return d.set(cudaErrorInvalidValue);
    }
    ++d.counters.launches;
    if (d.on_launch) {
        const std::string types = __PRETTY_FUNCTION__;
        const std::size_t begin = types.find("Parameters = ") + 13;
        d.on_launch(types.substr(begin, types.find("Arguments = ", begin) - begin - 2));
    }
    d.submit(config->stream,
             [=, &d, values = std::tuple<std::remove_cv_t<Parameters>...>(std::forward<Arguments>(arguments)...)] {
                 const auto body = [&] { std::apply(kernel, values); };
                 d.run(grid, block, shared_bytes, body);
             });
    return cudaSuccess;
}
