#pragma once

// Defines make_far<C>(); included only by the units that examples/CMakeLists.txt generates per configuration.

#include <utility>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/far.hpp"

#include "far_model.hpp"

namespace flowfar::program {

template <class C>
class CpuFar final : public AnyFar {
   public:
    using Model = Far<C, Cpu>;

    CpuFar() {
        facts_ = {std::string(C::name),    C::masked,          C::classes, C::channels, C::side, Model::tokens,
                  parameter_count(model_), default_levels<C>()};
    }
    void initialise(std::uint64_t seed) override { model_.initialise(seed); }
    void load(const io::Path& path) override { model_ = Model::load(path); }
    void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata) override {
        metadata["format"] = "pt";
        metadata["configuration"] = C::name;
        metadata["masked"] = C::masked ? "1" : "0";
        io::save_parameters(model_, path, dtype, metadata);
    }
    std::vector<ParameterRef<Cpu>> parameters() override { return flowfar::parameters(model_); }

    std::vector<float> generate(const std::vector<Index>& labels, const FarSampleOptions& options,
                                const Callback& callback) const override {
        typename Model::Callback inner;
        if (callback) {
            inner = [&](const auto& step) {
                return callback({step.step, step.steps, step.level,
                                 [&step] { return Model::unpatchify(step.input).to_host(); },
                                 [&step] { return step.estimate.to_host(); }});
            };
        }
        return model_.generate(labels, options, inner).to_host();
    }
    FarTrainReport loss(const std::vector<float>& latents, const std::vector<Index>& labels,
                        const FarTrainOptions& options) const override {
        using Latents = typename Model::Latents;
        FarLossOptions o = options.loss;
        o.level_per_sample = true;
        o.run = {};
        const auto batch = static_cast<Index>(labels.size());
        const auto draws = FarDraws::make<C>(batch, o, model_.head.process.steps(), fold(options.seed, "validation"));
        const auto noise =
            Model::Head::Rows::normal({o.multiplier * batch * Model::tokens, Model::token_dim}, draws.noise_seed);
        const auto loss = far_loss(model_, Latents::from_host(latents, {batch, C::channels, C::side, C::side}), labels,
                                   draws, noise, o);
        return {loss.total.item(), loss.mse.item(), loss.vb.item(), 0.0, 0.0};
    }

   private:
    Model model_;
};

template <class C>
std::unique_ptr<AnyFar> make_far() {
    return std::make_unique<CpuFar<C>>();
}

}  // namespace flowfar::program
