#pragma once

// The devices that programs compute on. Which of them a program has, CMake decides: config_tables.hpp names its
// backends.

#include <cstdint>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar::program {

enum class Device : std::uint8_t { cpu, cuda };

[[nodiscard]] inline std::string_view name_of(Device device) {
    return device == Device::cuda ? Cuda::name() : Cpu::name();
}

/// The parameters of a model on any of the backends.
using AnyParameters = std::variant<std::vector<ParameterRef<Cpu>>, std::vector<ParameterRef<Cuda>>>;

/// Where a model for inference computes, and how it stores weights and activations.
struct ModelKind {
    Device device = Device::cpu;
    bool bf16 = false;  ///< on Cuda. On the CPU, whose mixed precision is Bf16Products, it changes nothing
};

template <class... Backends>
struct BackendTable {
    static constexpr bool has_cuda = (std::is_same_v<Backends, Cuda> || ...);

    /// Calls `action.operator()<B>()` with the device's backend; throws Error if the program has none for it.
    template <class Action>
    static void visit(Device device, Action&& action) {
        const bool found = (((std::is_same_v<Backends, Cuda> ? Device::cuda : Device::cpu) == device &&
                             (action.template operator()<Backends>(), true)) ||
                            ...);
        require(found, "this program was built without the backend \"", name_of(device), '"');
    }
    /// Calls `action.operator()<B, T>()` with backend and element type.
    template <class Action>
    static void visit(ModelKind kind, Action&& action) {
        visit(kind.device, [&]<class B>() {
            if constexpr (std::is_same_v<B, Cuda>) {
                if (kind.bf16) {
                    action.template operator()<B, bf16>();
                    return;
                }
            }
            action.template operator()<B, float>();
        });
    }
};

}  // namespace flowfar::program
