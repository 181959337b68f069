#pragma once

#include <cstddef>
#include <cstdint>

namespace flowfar::cuda {

/// Which kernels serve bf16 attention where both do: heads of up to 128 channels on sm_90a, scales that are not
/// negative.
enum class AttentionKernels : std::uint8_t {
    portable,    ///< mma.sync, any device from sm_80 on
    warpgroups,  ///< Hopper's warpgroup products, forward only; not yet run on a device
};

/// Chooses for the whole program; portable kernels unless told otherwise. At its first use for each head size the
/// warpgroup engine computes a small problem, and if the portable kernel's result differs, that one serves from then
/// on. The first use waits for the device. Needs no CUDA headers.
///
///     cuda::choose_attention(cuda::AttentionKernels::warpgroups);
void choose_attention(AttentionKernels kernels);
/// What was chosen.
[[nodiscard]] AttentionKernels chosen_attention();
/// What serves heads of `width` channels on this device: the choice, unless the device, the build or the first use's
/// comparison forbids it.
[[nodiscard]] AttentionKernels attention_kernels_for(std::int64_t width);

/// Products of f32 and bf16 that cuBLASLt refused since the program began, so that a plain kernel did them, a hundred
/// times as slowly.
[[nodiscard]] std::size_t plain_products();

}  // namespace flowfar::cuda
