#pragma once

// Defines make_far<C, B, T>(); included only by the units that examples/CMakeLists.txt generates per configuration,
// backend and element type.

#include <type_traits>
#include <utility>

#include "flowfar/checkpoints/far.hpp"
#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/far/model.hpp"
#include "flowfar/samplers_cuda/far.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/cli/floats.hpp"
#include "common/models/any_far.hpp"

namespace flowfar::program {

template <class C, class B, class T>
class FarOn final : public AnyFar {
   public:
    using Model = Far<C, B, T>;

    FarOn() {
        using Config = typename Model::Config;
        facts_ = {std::string(C::name), C::masked,     C::classes,    C::channels,
                  Config::height,       Config::width, Model::tokens, parameter_count(model_),
                  default_levels<C>()};
    }
    void initialize(std::uint64_t seed) override { model_.initialize(seed); }
    void load(const io::Path& path) override { io::map_or_load_parameters(model_, path, ByteProgress("MB loaded")); }
    void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata) override {
        metadata["format"] = "pt";
        metadata.merge(CheckpointTraits<Model>::facts());
        io::save_parameters(model_, path, dtype, metadata);
    }
    AnyParameters parameters() override { return flowfar::parameters(model_); }

    std::vector<float> generate(const std::vector<Index>& labels, const FarSampleOptions& options,
                                const Callback& callback) const override {
        typename Model::Callback inner;
        if (callback) {
            inner = [&](const auto& step) {
                return callback({step.step, step.steps, step.level,
                                 [&step] { return to_floats(Model::unpatchify(step.input)); },
                                 [&step] { return to_floats(step.estimate); }});
            };
        }
        if constexpr (std::is_same_v<B, Cuda>) {
            return to_floats(FarGraphSampler<C, T>(model_, options)(labels, inner));
        } else {
            return to_floats(model_.generate(labels, options, inner));
        }
    }
    FarTrainReport loss([[maybe_unused]] const std::vector<float>& latents,
                        [[maybe_unused]] const std::vector<Index>& labels,
                        [[maybe_unused]] const FarTrainOptions& options) const override {
        if constexpr (std::is_same_v<T, float>) {
            using Latents = typename Model::Latents;
            FarLossOptions o = options.loss;
            o.level_per_sample = true;
            o.run = {};
            const auto batch = static_cast<Index>(labels.size());
            const auto draws =
                FarDraws::make<C>(batch, o, model_.head.process.steps(), fold(options.seed, "validation"));
            const auto noise =
                Model::Head::Rows::normal({o.multiplier * batch * Model::tokens, Model::token_dim}, draws.noise_seed);
            const auto loss =
                far_loss(model_, from_floats<Latents>(latents, {batch, C::channels, facts_.height, facts_.width}),
                         labels, draws, noise, o);
            return {loss.total.item(), loss.mse.item(), loss.vb.item(), 0.0, 0.0};
        } else {
            fail(C::name, ": the training loss needs a model of f32 weights");
        }
    }

   private:
    Model model_;
};

template <class C, class B, class T>
std::unique_ptr<AnyFar> make_far() {
    return std::make_unique<FarOn<C, B, T>>();
}

}  // namespace flowfar::program
