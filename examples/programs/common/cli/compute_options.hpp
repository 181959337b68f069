#pragma once

// Command-line options of all programs that compute with a model: on which device, with how many threads, and how
// precise products are.

#include <cstdio>
#include <string>

#include "common/cli/cpu_options.hpp"
#include "common/cli/device.hpp"
#include "config_tables.hpp"

namespace flowfar::program {

/// What a program was told about computing. While it lives, products of its thread are as precise as asked.
struct Computing {
    Device device;
    bool narrow;  ///< --precision bf16
    ProductPrecision products;

    /// Of models for inference: with bf16 weights on Cuda if the precision is bf16.
    [[nodiscard]] ModelKind kind() const { return {device, narrow}; }
};

struct ComputeArguments : CpuArguments {
    std::string device = "auto";

    /// Chooses the device and sets the number of threads. Throws where the device that is asked for cannot be had.
    [[nodiscard]] Computing apply() const {
        const Device chosen = chosen_device();
        if (chosen == Device::cpu) {
            return {chosen, precision == "bf16", CpuArguments::apply()};
        }
        if (precision == "int8") {
            throw UsageError("--precision int8: the weights are quantized on the CPU only; with a GPU, take bf16");
        }
        set_threads();
        return {chosen, precision == "bf16", ProductPrecision(precision)};
    }

   private:
    [[nodiscard]] Device chosen_device() const {
        if (device == "cpu") {
            return Device::cpu;
        }
        if constexpr (Backends::has_cuda) {
            if (Cuda::available()) {
                return Device::cuda;
            }
            require(device != "cuda", "--device cuda: this machine has no CUDA device, or no driver for one");
            std::fputs("no CUDA device, or no driver for one: computing on the CPU\n", stderr);
        } else if (device == "cuda") {
            throw UsageError("--device cuda: this program was built without CUDA (CMake option FLOWFAR_CUDA)");
        }
        return Device::cpu;
    }
};

inline void add_compute_options(Spec& spec, ComputeArguments& a, Use use = Use::inference) {
    spec.option("device", a.device, "auto: the GPU if the program was built with CUDA and finds one, else the CPU")
        .choices({"auto", "cpu", "cuda"});
    add_cpu_options(spec, a, use);
}

}  // namespace flowfar::program
