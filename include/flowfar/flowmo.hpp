#pragma once

#include <string>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/flowmo.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/flowmo/model.hpp"

namespace flowfar {

/// FlowMo with files: the model of flowmo/model.hpp plus loading and saving.
///
///     using Tokenizer = flowfar::FlowMo<flowfar::FlowMoLo, flowfar::Cpu>;
///     const Tokenizer model = Tokenizer::load("flowmo_lo.safetensors");
///     const flowfar::Tokens tokens = model.encode(images);
///     const auto again = model.decode(tokens, {.steps = 25, .seed = 7});
template <class C, class B, class T = float>
class FlowMo : public FlowMoModel<C, B, T> {
   public:
    /// Reads the reference's checkpoints (of which the averaged weights are taken) and safetensors with its parameter
    /// names. Throws `Error` with the preset that a file of another size needs, or with all names that do not fit.
    [[nodiscard]] static FlowMo load(const io::Path& path, const io::LoadProgress& progress = {}) {
        const io::WeightsFile file(path);
        FlowMo model;
        const auto weights = io::Weights::find(file, io::parameter_names(model));
        io::check_flowmo_weights<C>(weights);
        io::load_parameters(model, weights, "", progress);
        return model;
    }
    /// A model with fresh random parameters.
    [[nodiscard]] static FlowMo random(std::uint64_t seed) {
        FlowMo model;
        model.initialise(seed);
        return model;
    }
    /// Writes the parameters as safetensors, atomically; `dtype` (F32 or BF16) is the type in the file.
    void save(const io::Path& path, DType dtype = dtype_of<T>) const {
        io::save_parameters(*this, path, dtype, {{"format", "pt"}, {"configuration", std::string(C::name)}});
    }
};

}  // namespace flowfar
