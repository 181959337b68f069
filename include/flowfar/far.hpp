#pragma once

#include <string>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/far.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/far/sample.hpp"
#include "flowfar/far/tokenizer.hpp"

namespace flowfar {

/// FAR with files: the model of far/model.hpp plus loading, saving and generating.
///
///     using Generator = flowfar::Far<flowfar::FarB, flowfar::Cpu>;
///     const Generator model = Generator::load("far_b.safetensors");
///     const auto latents = model.generate({207, 990}, {.guidance = 3.0, .seed = 7});
template <class C, class B, class T = float>
class Far : public FarModel<C, B, T> {
   public:
    using Model = FarModel<C, B, T>;
    using Latents = typename Model::Latents;
    using Callback = typename FarSampler<Model>::Callback;

    /// Reads the reference's checkpoints (of which the averaged weights are taken) and safetensors with its parameter
    /// names. Throws `Error` with the preset that a file of another size needs, or with all names that do not fit.
    [[nodiscard]] static Far load(const io::Path& path, const io::LoadProgress& progress = {}) {
        const io::WeightsFile file(path);
        Far model;
        const auto weights = io::Weights::find(file, io::parameter_names(model));
        io::check_far_weights<C>(weights);
        io::load_parameters(model, weights, "", progress);
        return model;
    }
    /// A model with fresh random parameters.
    [[nodiscard]] static Far random(std::uint64_t seed) {
        Far model;
        model.initialise(seed);
        return model;
    }
    /// Writes the parameters as safetensors, atomically; `dtype` (F32 or BF16) is the type in the file.
    void save(const io::Path& path, DType dtype = dtype_of<T>) const {
        io::save_parameters(
            *this, path, dtype,
            {{"format", "pt"}, {"configuration", std::string(C::name)}, {"masked", C::masked ? "1" : "0"}});
    }

    /// One latent [channels, side, side] per label (0 … classes − 1, or `no_class`), of unit variance. The callback
    /// sees every level's result and stops by returning false. Keep a `FarSampler` to generate several batches.
    [[nodiscard]] Latents generate(const std::vector<Index>& labels, const FarSampleOptions& options = {},
                                   const Callback& callback = {}) const {
        return FarSampler<Model>(*this, options)(labels, callback);
    }
};

}  // namespace flowfar
