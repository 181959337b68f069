#pragma once

// Work that a test holds back: on the emulated device, whose streams then work only when they are waited for, and on a
// real one, whose stream is stopped by a host function. There a kernel's first start may wait for the device, which
// loads it: what a test starts meanwhile must have run before.

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "flowfar/backend/cuda/runtime/transfer.cuh"

namespace flowfar::testing {

#if defined(CUDA_EMULATION)

class Lazily {
   public:
    explicit Lazily(std::size_t /*staged*/ = 0) {
        cuda::synchronize();
        cuda_emulation::device().lazy = true;
        before_ = cuda_emulation::device().counters.synchronizations;
    }
    Lazily(const Lazily&) = delete;
    Lazily& operator=(const Lazily&) = delete;
    ~Lazily() {
        cuda_emulation::device().lazy = false;
        cuda_emulation::device().finish();
    }
    /// Whether the host waited so many times.
    [[nodiscard]] bool waited(std::size_t times) const {
        return cuda_emulation::device().counters.synchronizations - before_ == times;
    }
    /// Whether the stream still holds work.
    [[nodiscard]] bool has_more() const { return cuda_emulation::device().queued() > 0; }
    /// From now on the host may wait.
    void go_on() const {}

   private:
    std::size_t before_;
};

/// Whether of several streams that hold work the one that got work last does all of its first: an order that a device
/// may choose, too.
inline void newest_stream_first(bool yes) {
    cuda_emulation::device().newest_stream_first = yes;
}

/// A second device while it lives.
class OtherDevice {
   public:
    OtherDevice() { cuda_emulation::device().count = 2; }
    OtherDevice(const OtherDevice&) = delete;
    OtherDevice& operator=(const OtherDevice&) = delete;
    ~OtherDevice() { cuda_emulation::device().count = 1; }
    [[nodiscard]] bool there() const { return true; }
};

/// The pieces in which pools take memory of the device, for tensors made while it lives.
class Pieces {
   public:
    explicit Pieces(std::size_t bytes) { cuda_emulation::device().granularity = bytes; }
    Pieces(const Pieces&) = delete;
    Pieces& operator=(const Pieces&) = delete;
    ~Pieces() { cuda_emulation::device().granularity = 1; }
    [[nodiscard]] bool known() const { return true; }
    [[nodiscard]] std::size_t reserved() const { return cuda::Memory::instance().taken(); }
};

#else

class Lazily {
   public:
    /// Blocks for copies of up to `staged` bytes are taken before: page-locking memory may wait for the device.
    explicit Lazily(std::size_t staged = cuda::Staging::smallest) : gate_(std::make_shared<Gate>()) {
        std::vector<std::shared_ptr<cuda::Staging::Block>> blocks;
        for (std::size_t i = 0; i < cuda::Staging::in_flight; ++i) {
            blocks.push_back(cuda::Staging::instance().take(staged));
        }
        cuda::synchronize();
        cuda::check(cudaLaunchHostFunc(
                        cuda::current_stream(), [](void* gate) { static_cast<Gate*>(gate)->wait(); }, gate_.get()),
                    "cudaLaunchHostFunc");
    }
    Lazily(const Lazily&) = delete;
    Lazily& operator=(const Lazily&) = delete;
    ~Lazily() {
        go_on();
        cudaStreamSynchronize(cuda::current_stream());
    }
    /// Whether the host waited; how often is not known. It waits for ten seconds then, not for ever.
    [[nodiscard]] bool waited(std::size_t times) const {
        const std::lock_guard lock(gate_->mutex);
        return times > 0 || !gate_->late;
    }
    [[nodiscard]] bool has_more() const { return true; }
    void go_on() const {
        const std::lock_guard lock(gate_->mutex);
        gate_->open = true;
        gate_->opened.notify_all();
    }

   private:
    struct Gate {
        std::mutex mutex;
        std::condition_variable opened;
        bool open = false;
        bool late = false;

        void wait() {
            std::unique_lock lock(mutex);
            late = !opened.wait_for(lock, std::chrono::seconds(10), [this] { return open; });
        }
    };

    std::shared_ptr<Gate> gate_;
};

inline void newest_stream_first(bool /*yes*/) {}

class OtherDevice {
   public:
    [[nodiscard]] bool there() const {
        int count = 0;
        return cudaGetDeviceCount(&count) == cudaSuccess && count > 1;
    }
};

class Pieces {
   public:
    explicit Pieces(std::size_t /*bytes*/) {}
    [[nodiscard]] bool known() const { return false; }  // the driver's choice
    [[nodiscard]] std::size_t reserved() const { return cuda::Memory::instance().taken(); }
};

#endif

}  // namespace flowfar::testing
