#pragma once

// What the tests of the emulator share: memory of the device, and what a launch reports.

#include <doctest/doctest.h>
#include <memory>
#include <string>
#include <vector>

#include "flowfar/backend/cuda/runtime/launch.cuh"

namespace flowfar::testing {

/// Device memory with the elements of `values`.
template <class T>
class Array {
   public:
    explicit Array(const std::vector<T>& values)
        : count_(values.size()), block_(cuda::allocate(values.size() * sizeof(T))) {
        cuda::check(
            cudaMemcpyAsync(data(), values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice, cuda::current_stream()),
            "copy");
    }
    [[nodiscard]] T* data() const { return reinterpret_cast<T*>(block_.get()); }
    [[nodiscard]] std::vector<T> values() const {
        std::vector<T> out(count_);
        cuda::check(
            cudaMemcpyAsync(out.data(), data(), count_ * sizeof(T), cudaMemcpyDeviceToHost, cuda::current_stream()),
            "copy");
        cuda::synchronize();
        return out;
    }

   private:
    std::size_t count_;
    std::shared_ptr<std::byte> block_;
};

/// What the launch reports, or "" for nothing.
template <class... Parameters, class... Arguments>
std::string fault_of(void (*kernel)(Parameters...), unsigned threads, std::size_t shared_bytes,
                     Arguments... arguments) {
    try {
        cuda::launch(kernel, 1, threads, shared_bytes, arguments...);
    } catch (const cuda_emulation::Fault& fault) {
        return fault.what();
    }
    return "";
}
inline bool mentions(const std::string& text, const std::string& part) {
    CAPTURE(text);
    const bool found = text.find(part) != std::string::npos;
    CHECK(found);
    return found;
}

}  // namespace flowfar::testing
