#pragma once

/// The CUDA runtime as the backend uses it: status checks, the device, and streams.

#include <cstddef>
#include <cuda_runtime.h>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar::cuda {

/// Throws Error naming `what` unless the call succeeded.
inline void check(cudaError_t status, std::string_view what) {
    if (status != cudaSuccess) {
        cudaGetLastError();  // the status is reported here, so the next check must not see it again
        fail("cuda: ", what, ": ", cudaGetErrorString(status));
    }
}

/// Whether this machine has a device and a driver for it. Never throws.
[[nodiscard]] inline bool available() {
    static const bool found = [] {
        int count = 0;
        const cudaError_t status = cudaGetDeviceCount(&count);
        cudaGetLastError();
        return status == cudaSuccess && count > 0;
    }();
    return found;
}

namespace detail {

/// The device that the backend works on: the one that is current where it is first used.
[[nodiscard]] inline int home_device() {
    static const int device = [] {
        int found = 0;
        check(cudaGetDevice(&found), "cudaGetDevice");
        return found;
    }();
    return device;
}

}  // namespace detail

/// The number of the device that the backend works on, for all threads and for good; it is made the calling thread's
/// current one. Pool, streams and chosen algorithms belong to it, so another device would refuse them.
[[nodiscard]] inline int current_device() {
    const int home = detail::home_device();
    int device = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    if (device != home) {
        check(cudaSetDevice(home), "cudaSetDevice");
    }
    return home;
}

[[nodiscard]] inline int device_attribute(cudaDeviceAttr attribute) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, attribute, current_device()), "cudaDeviceGetAttribute");
    return value;
}

namespace detail {

[[nodiscard]] inline cudaStream_t make_stream() {
    static_cast<void>(current_device());
    cudaStream_t made = nullptr;
    check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return made;  // never destroyed: static tensors may be freed after main
}
[[nodiscard]] inline cudaStream_t default_stream() {
    static const cudaStream_t stream = make_stream();
    return stream;
}

[[nodiscard]] inline cudaStream_t& chosen_stream() {
    static thread_local cudaStream_t stream = nullptr;
    return stream;
}

}  // namespace detail

/// The stream on which this thread's operations run: the innermost StreamScope's, else one for the whole program.
[[nodiscard]] inline cudaStream_t current_stream() {
    static_cast<void>(current_device());
    const cudaStream_t chosen = detail::chosen_stream();
    return chosen != nullptr ? chosen : detail::default_stream();
}

/// Makes `stream` the thread's current one until the end of the scope. The stream must outlive all tensors made on it,
/// and the user orders work on different streams.
class StreamScope {
   public:
    explicit StreamScope(cudaStream_t stream) : before_(std::exchange(detail::chosen_stream(), stream)) {}
    ~StreamScope() { detail::chosen_stream() = before_; }
    StreamScope(const StreamScope&) = delete;
    StreamScope& operator=(const StreamScope&) = delete;

   private:
    cudaStream_t before_;
};

/// A stream that nobody else uses until the end of this object's life; then it serves the next one.
class PrivateStream {
   public:
    PrivateStream() {
        {
            const std::lock_guard lock(mutex());
            if (!idle().empty()) {
                stream_ = idle().back();
                idle().pop_back();
                return;
            }
        }
        stream_ = detail::make_stream();
    }
    ~PrivateStream() {
        const std::lock_guard lock(mutex());
        idle().push_back(stream_);
    }
    PrivateStream(const PrivateStream&) = delete;
    PrivateStream& operator=(const PrivateStream&) = delete;
    [[nodiscard]] cudaStream_t get() const { return stream_; }

   private:
    static std::mutex& mutex() {
        static std::mutex* const made = new std::mutex;  // never destroyed, like the streams
        return *made;
    }
    static std::vector<cudaStream_t>& idle() {
        static auto* const streams = new std::vector<cudaStream_t>;
        return *streams;
    }

    cudaStream_t stream_ = nullptr;
};

/// Waits for the current stream.
inline void synchronize() {
    check(cudaStreamSynchronize(current_stream()), "cudaStreamSynchronize");
}

/// What a graph keeps for its replays beside the memory of its arena, and the streams of its recording.
struct Recording {
    cudaStream_t home = nullptr;      ///< the thread's stream; the graph uses its workspace
    cudaStream_t captured = nullptr;  ///< where the work is recorded: no other thread's gets there
    cudaStream_t side = nullptr;      ///< is not recorded
    std::vector<std::shared_ptr<std::byte>> blocks;

    /// The graph that this thread records, or null.
    [[nodiscard]] static Recording*& current() {
        static thread_local Recording* recorded = nullptr;
        return recorded;
    }
};

}  // namespace flowfar::cuda
