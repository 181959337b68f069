#pragma once

// Defines make_flowmo_training<C, Perceptual>(); included only by the units that examples/CMakeLists.txt generates per
// configuration and perceptual term.

#include <cstdint>
#include <type_traits>
#include <utility>

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/backend/cpu.hpp"
#include "flowfar/io/state_dict.hpp"
#include "flowfar/io/train_state.hpp"

#include "flowmo_training.hpp"

namespace flowfar::program {

template <class C, class Perceptual>
class CpuFlowMoTraining final : public AnyFlowMoTraining {
   public:
    using Trainer = FlowMoTrainer<C, Cpu, Perceptual>;
    using Images = typename Trainer::Images;

    CpuFlowMoTraining(const FlowMoTrainingSettings& settings, Perceptual perceptual)
        : trainer_(
              settings.options,
              [&](auto& model) {
                  if (settings.initial_model.empty()) {
                      model.initialise(settings.options.seed);
                  } else {
                      io::load_parameters(model, settings.initial_model);
                  }
              },
              perceptual) {}

    FlowMoTrainReport step(const std::vector<float>& images) override {
        constexpr Index size = 3 * C::image_height * C::image_width;
        const auto batch = static_cast<Index>(images.size()) / size;
        return trainer_.step(Images::from_host(images, {batch, 3, C::image_height, C::image_width}));
    }
    std::int64_t step_count() const override { return trainer_.step_count(); }
    void save(const io::Path& path, std::map<std::string, std::string> facts) override {
        facts["step"] = std::to_string(trainer_.step_count());
        io::save_train_state<Autodiff<Cpu>>(path, parts(), facts);
    }
    void load(const io::Path& path) override {
        const auto facts = io::load_train_state<Autodiff<Cpu>>(path, parts());
        trainer_.set_step_count(io::fact_number(facts, "step", path));
    }
    void lend_to(AnyFlowMo& model) override {
        const auto source = parameters(trainer_.model());
        const auto target = model.parameters();
        require(target.size() == source.size(), "FlowMo training: a model of another configuration");
        for (std::size_t i = 0; i < target.size(); ++i) {
            target[i].replace(trainer_.ema() ? trainer_.ema()->slots()[i].average : source[i].value());
        }
    }

   private:
    io::TrainParts<Autodiff<Cpu>> parts() {
        return {parameters(trainer_.model()), &trainer_.adam(), trainer_.ema() ? &*trainer_.ema() : nullptr,
                trainer_.norms() ? &*trainer_.norms() : nullptr};
    }

    Trainer trainer_;
};

template <class C, class Perceptual>
std::unique_ptr<AnyFlowMoTraining> make_flowmo_training(const FlowMoTrainingSettings& settings) {
    Perceptual perceptual{};
    if constexpr (std::is_same_v<Perceptual, GradientLoss>) {
        perceptual.weight = settings.gradient_weight;
    }
    return std::make_unique<CpuFlowMoTraining<C, Perceptual>>(settings, perceptual);
}

}  // namespace flowfar::program
