#pragma once

/// A model on two backends, for tests that hold one against the other.

#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/nn/parameter.hpp"

#include "approx.hpp"

namespace flowfar::testing {

/// Errors of whole models: they grow with depth and with the number of sampling steps.
namespace approx {
inline constexpr double model_f32 = 2e-5;
inline constexpr double model_bf16 = 0.05;
}  // namespace approx

/// A model on the CPU whose every parameter has some noise: fresh gates and output layers are zero and would hide what
/// lies behind them.
template <class Model>
[[nodiscard]] Model noisy_model(std::uint64_t seed) {
    Model model;
    model.initialize(seed);
    for_each_parameter(model, [seed](const auto& p) {
        const auto noise = Cpu::normal(p.extents(), p.dtype(), fold(seed, p.name), 0);
        Cpu::add_into(p.value(), Cpu::unary({UnaryOp::affine, 0.05, 0.0}, noise));
    });
    return model;
}

/// Copies elements to another backend, in its element type.
template <class B>
[[nodiscard]] Handle moved(const Handle& from, DType dtype) {
    const Handle dense = Cpu::contiguous(from);
    std::vector<std::byte> bytes(static_cast<std::size_t>(dense.count()) * size_of(dense.dtype));
    Cpu::to_host(dense, bytes.data());
    return B::cast(B::from_host(bytes.data(), dense.extents(), dense.dtype), dtype);
}

/// Gives `target`, a model on any backend, the parameters of a model on the CPU.
template <class Target, class Source>
void copy_parameters(Target& target, const Source& source) {
    const auto to = parameters(target);
    const auto from = parameters(source);
    REQUIRE(to.size() == from.size());
    for (std::size_t i = 0; i < to.size(); ++i) {
        REQUIRE(to[i].name == from[i].name);
        to[i].replace(moved<Plain<typename Target::Backend>>(from[i].value(), to[i].dtype()));
    }
}

/// All elements as doubles.
template <AnyTensor X>
[[nodiscard]] std::vector<double> host_values(const X& x) {
    std::vector<double> out;
    for (const auto value : x.to_host()) {
        out.push_back(static_cast<double>(static_cast<float>(value)));
    }
    return out;
}

}  // namespace flowfar::testing
