#pragma once

/// Models whose weights stay in the file: processes that run the same model share one copy, and starting costs nothing.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flowfar/checkpoints/load.hpp"
#include "flowfar/checkpoints/state_dict.hpp"

namespace flowfar::io {

/// Lets the parameters of a model on a backend that can borrow memory (`Cpu`) lie in a mapped safetensors file,
/// wherever it has them in the model's element type and suitably aligned; others are loaded. As strict as
/// `load_parameters`. The mapping lives as long as one of the parameters uses it. Training in place changes this
/// process's copy of the pages concerned, not the file. Gives the number of bytes that were not copied. A
/// process that shortens the file while it is in use causes SIGBUS (see `MappedFile`).
template <class Model>
    requires requires(std::byte* memory) { Model::Backend::borrow(memory, Extents(), DType::f32, nullptr); }
std::uint64_t map_parameters(Model& model, const Path& path, const std::string& prefix = "") {
    const auto targets = parameters(model);
    const auto file = std::make_shared<const SafetensorsFile>(MappedFile(path, Access::change_copy));
    detail::check_parameters(targets, *file, prefix);
    std::uint64_t shared = 0;
    for (const auto& p : targets) {
        const TensorView view = file->at(prefix + p.name);
        // The mapping is this process's to change; only views of it are read-only.
        auto* const memory = const_cast<std::byte*>(view.bytes.data());
        if (view.dtype == p.dtype() && !view.bytes.empty() &&
            reinterpret_cast<std::uintptr_t>(memory) % size_of(view.dtype) == 0) {
            p.replace(Model::Backend::borrow(memory, p.extents(), view.dtype, file));
            shared += view.bytes.size();
        } else {
            detail::put(p, view);
        }
    }
    return shared;
}

/// `map_parameters` for a backend that can borrow and a safetensors file that holds nothing but the model's
/// parameters, under their own names; otherwise `load_parameters`, from any known format. `progress` hears only of what
/// is loaded. Sizes are checked as by `load`.
template <class Model>
void map_or_load_parameters(Model& model, const Path& path, const LoadProgress& progress = {}) {
    const WeightsFile file(path);
    const Weights weights = Weights::find(file, parameter_names(model));
    CheckpointTraits<Model>::check(weights);
    if constexpr (requires { io::map_parameters(model, path, ""); }) {
        if (file.format() == "safetensors" && weights.names() == file.names()) {
            io::map_parameters(model, path);
            return;
        }
    }
    load_parameters(model, weights, "", progress);
}

}  // namespace flowfar::io
