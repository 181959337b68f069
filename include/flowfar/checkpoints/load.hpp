#pragma once

/// `load<Model>(path)` and `save(model, path)` for every model of the library, and for models of your own.

#include <map>
#include <string>

#include "flowfar/checkpoints/published.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/io/tensors/weights.hpp"

namespace flowfar {

/// What loading and saving know of a class of models beside its parameters. Models with configurations specialize it
/// (checkpoints/flowmo.hpp, far.hpp, vae.hpp); for others there is nothing to know.
template <class Model>
struct CheckpointTraits {
    /// Throws `Error` that names the configuration to use if the weights have another size.
    static void check(const io::Weights& /*weights*/) {}
    /// Facts for the file's metadata.
    [[nodiscard]] static std::map<std::string, std::string> facts() { return {}; }
};

/// A model with the parameters in a file: safetensors, sharded or not, or a PyTorch checkpoint, of which the averaged
/// weights are taken. Nothing in the file is executed. Throws `Error` with the configuration that the file needs, or
/// with the names that are missing, unexpected or of other extents, ten at most.
///
///     const auto model = load<FlowMo<FlowMoLo, Cpu>>("flowmo_lo.pth");
template <class Model>
[[nodiscard]] Model load(const io::Path& path, const io::LoadProgress& progress = {}) {
    Model model;
    if constexpr (requires { Model::published; }) {
        io::load_published(model, path);
    } else {
        const io::WeightsFile file(path);
        const auto weights = io::Weights::find(file, io::parameter_names(model));
        CheckpointTraits<Model>::check(weights);
        io::load_parameters(model, weights, "", progress);
    }
    return model;
}
/// A network with learned weights of its own on top, such as Lpips, from the two published files.
///
///     const auto lpips = load<Lpips<Vgg16<Cpu>>>("vgg16-397923af.pth", "vgg.pth");
template <class Model>
    requires requires(Model& model) {
        model.network;
        model.weights;
    }
[[nodiscard]] Model load(const io::Path& network, const io::Path& weights) {
    Model model;
    io::load_published(model.network, network);
    io::load_published(model.weights, weights);
    return model;
}

/// Writes a model's parameters as safetensors, atomically; `dtype` (F32 or BF16) is the type in the file.
///
///     save(model, "model.safetensors");
template <class Model>
void save(const Model& model, const io::Path& path, DType dtype = io::dtype_of_model<Model>) {
    auto facts = CheckpointTraits<Model>::facts();
    facts["format"] = "pt";  // what PyTorch's safetensors reader asks for
    io::save_parameters(model, path, dtype, facts);
}

}  // namespace flowfar
