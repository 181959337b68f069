#pragma once

// The device that tests of the warpgroup engine need.

#include <doctest/doctest.h>

#include "flowfar/backend/cuda/ops/attention_choice.cuh"

namespace flowfar::testing {

#if defined(CUDA_EMULATION)
inline constexpr bool on_device = false;

/// Makes the emulated device one with warpgroups while it lives.
class HopperDevice {
   public:
    HopperDevice() {
        cuda_emulation::device().shared_limit = 227 * 1024;
        cuda_emulation::device().capability_major = 9;
    }
    HopperDevice(const HopperDevice&) = delete;
    HopperDevice& operator=(const HopperDevice&) = delete;
    ~HopperDevice() {
        cuda_emulation::device().shared_limit = 99 * 1024;
        cuda_emulation::device().capability_major = 8;
        cuda_emulation::device().wrong_warpgroups = false;
        cuda::choose_attention(cuda::AttentionKernels::portable);
        cuda::AttentionChoice::instance().forget();
    }
    [[nodiscard]] bool there() const { return true; }
    /// Warpgroup products are wrong from now on, and nothing is known of them. False where that cannot be had.
    [[nodiscard]] bool give_wrong_products() const {
        cuda::AttentionChoice::instance().forget();
        return cuda_emulation::device().wrong_warpgroups = true;
    }
};
#else
inline constexpr bool on_device = true;

class HopperDevice {
   public:
    /// A Hopper for which the engine was not compiled fails the test: it would pass without having run anything.
    HopperDevice() { REQUIRE((cuda::device_attribute(cudaDevAttrComputeCapabilityMajor) != 9 || there())); }
    HopperDevice(const HopperDevice&) = delete;
    HopperDevice& operator=(const HopperDevice&) = delete;
    ~HopperDevice() { cuda::choose_attention(cuda::AttentionKernels::portable); }
    /// Whether this is a device with warpgroups, and the engine was compiled for it.
    [[nodiscard]] bool there() const { return cuda::warpgroup_attention_runs(64); }
    [[nodiscard]] bool give_wrong_products() const { return false; }
};
#endif

}  // namespace flowfar::testing
