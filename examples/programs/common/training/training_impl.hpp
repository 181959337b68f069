#pragma once

// Implements AnyTraining with a trainer of the library; included only by the units that CMake generates.

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/checkpoints/train_state.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/cli/device.hpp"
#include "common/training/training.hpp"

namespace flowfar::program {

/// What sets a new model's parameters: the file, or random numbers if there is none.
[[nodiscard]] inline auto parameters_from(const io::Path& file, std::uint64_t seed) {
    return [file, seed](auto& model) {
        if (file.empty()) {
            model.initialize(seed);
        } else {
            io::load_parameters(model, file, "", ByteProgress("MB loaded"));
        }
    };
}

/// `Interface` derives from AnyTraining, `Trainer` from flowfar::Trainer.
template <class Interface, class Trainer>
class TrainingWith : public Interface {
    using A = typename Trainer::A;
    using References = std::vector<ParameterRef<Plain<A>>>;

   public:
    template <class... Arguments>
    explicit TrainingWith(Arguments&&... arguments) : trainer_(std::forward<Arguments>(arguments)...) {}

    std::int64_t step_count() const override { return trainer_.step_count(); }
    void save(const io::Path& path, std::map<std::string, std::string> facts) override {
        facts["step"] = std::to_string(trainer_.step_count());
        io::save_train_state<A>(path, parts(), facts);
    }
    void load(const io::Path& path) override {
        const auto facts = io::load_train_state<A>(path, parts());
        trainer_.set_step_count(io::fact_number(facts, "step", path));
    }

   protected:
    /// Gives parameters of the same structure and backend the weights; they are shared, so they follow.
    void share(const AnyParameters& parameters_of_model, Weights which) {
        const auto* const target = std::get_if<References>(&parameters_of_model);
        const auto source = parameters(trainer_.model());
        require(target != nullptr && target->size() == source.size(),
                "training: a model of another configuration or device");
        for (std::size_t i = 0; i < source.size(); ++i) {
            const bool averaged = which == Weights::averaged && trainer_.ema();
            (*target)[i].replace(averaged ? trainer_.ema()->slots()[i].average : source[i].value());
        }
    }

    Trainer trainer_;

   private:
    io::TrainParts<A> parts() {
        return {parameters(trainer_.model()), &trainer_.adam(), trainer_.ema() ? &*trainer_.ema() : nullptr,
                trainer_.norms() ? &*trainer_.norms() : nullptr};
    }
};

}  // namespace flowfar::program
