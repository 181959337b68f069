#pragma once

// What FAR of classes and FAR from text have in common behind their run-time interfaces; included only by units that
// examples/CMakeLists.txt generates.

#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/far/loss.hpp"
#include "flowfar/far/sample.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/cli/floats.hpp"
#include "common/models/any_far.hpp"

namespace flowfar::program {

/// `Interface` derives from AnyFar, `M` is the model of configuration C, whose CheckpointTraits are known.
template <class Interface, class C, class M>
class FarWith : public Interface {
   public:
    using Model = M;

    void initialize(std::uint64_t seed) override { model_.initialize(seed); }
    void load(const io::Path& path) override { io::map_or_load_parameters(model_, path, ByteProgress("MB loaded")); }
    void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata) override {
        metadata["format"] = "pt";
        metadata.merge(CheckpointTraits<Model>::facts());
        io::save_parameters(model_, path, dtype, metadata);
    }
    AnyParameters parameters() override { return flowfar::parameters(model_); }
    void check(const FarSampleOptions& options) const override {
        static_cast<void>(FarSampler<Model>(model_, options));
    }

   protected:
    explicit FarWith(Index classes) {
        using Config = typename Model::Config;
        this->facts_ = {std::string(C::name), C::masked,     classes,       C::channels,
                        Config::height,       Config::width, Model::tokens, parameter_count(model_),
                        default_levels<C>()};
    }

    /// The callback as a sampler takes it.
    [[nodiscard]] static typename Model::Callback step_callback(const AnyFar::Callback& callback) {
        if (!callback) {
            return {};
        }
        return [&callback](const auto& step) {
            return callback({step.step, step.steps, step.level,
                             [&step] { return to_floats(Model::unpatchify(step.input)); },
                             [&step] { return to_floats(step.estimate); }});
        };
    }
    /// AnyFar::loss with `loss(latents, draws, noise, options)` of the model.
    template <class Loss>
    [[nodiscard]] FarTrainReport validation_loss([[maybe_unused]] const std::vector<float>& latents,
                                                 [[maybe_unused]] Index batch,
                                                 [[maybe_unused]] const FarTrainOptions& options,
                                                 [[maybe_unused]] Loss&& loss) const {
        if constexpr (std::is_same_v<typename Model::Element, float>) {
            using Latents = typename Model::Latents;
            FarLossOptions o = options.loss;
            o.level_per_sample = true;
            o.run = {};
            const auto draws =
                FarDraws::make<C>(batch, o, model_.head.process.steps(), fold(options.seed, "validation"));
            const auto noise =
                Model::Head::Rows::normal({o.multiplier * batch * Model::tokens, Model::token_dim}, draws.noise_seed);
            const FarFacts& facts = this->facts_;
            const auto found =
                loss(from_floats<Latents>(latents, {batch, C::channels, facts.height, facts.width}), draws, noise, o);
            return {found.total.item(), found.mse.item(), found.vb.item(), 0.0, 0.0};
        } else {
            fail(C::name, ": the training loss needs a model of f32 weights");
        }
    }

    Model model_;
};

}  // namespace flowfar::program
