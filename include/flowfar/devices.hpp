#pragma once

/// Chooses the backend when the program runs.

#include <string_view>
#include <utility>

#include "flowfar/cpu.hpp"
#include "flowfar/cuda.hpp"

namespace flowfar {

/// Gives the result of `action.operator()<Backend>()` for a device by name: "cpu", "cuda", or "auto" for the GPU if the
/// program links flowfar::cuda and finds one. Throws `Error` where the device cannot be had.
///
///     return on_device("auto", []<class Device>() { return run<Device>(); });
template <class Action>
decltype(auto) on_device(std::string_view name, Action&& action) {
    require(name == "auto" || name == "cpu" || name == "cuda", "device: expected auto, cpu or cuda, found ", name);
#if defined(FLOWFAR_WITH_CUDA)
    if (name != "cpu" && Cuda::available()) {
        return std::forward<Action>(action).template operator()<Cuda>();
    }
    require(name != "cuda", "device cuda: this machine has no CUDA device, or no driver for one");
#else
    require(name != "cuda", "device cuda: this program was built without flowfar::cuda");
#endif
    return std::forward<Action>(action).template operator()<Cpu>();
}

}  // namespace flowfar
