#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/diffusion/rectified_flow.hpp"
#include "flowfar/flowmo/sample_options.hpp"

namespace flowfar {

/// Decodes codes with a FlowMo: Euler steps of the probability flow through a schedule, guided in an interval of times.
/// `model.decode` is made of it; keep one to use a schedule or noise of your own. The model must outlive it.
template <class Model>
class FlowMoSampler {
    using B = typename Model::Backend;
    using T = typename Model::Element;

   public:
    using Images = typename Model::Images;
    using Codes = typename Model::Codes;
    using CodeInputs = typename Model::CodeInputs;
    using Modulations = typename Model::Modulations;

    /// Throws `Error` for impossible options, before any work is done.
    FlowMoSampler(const Model& model, const FlowMoDecodeOptions& options)
        : FlowMoSampler(model, options, ShiftedSchedule(options.steps, options.power)) {}
    /// With a schedule of one's own, in place of the options' steps and power: `ShiftedSteps<25, Power<1, 4>>{}`.
    FlowMoSampler(const Model& model, const FlowMoDecodeOptions& options, ShiftedSchedule schedule)
        : model_(&model), options_(options), schedule_(std::move(schedule)) {
        check_guidance(options_.guidance, options_.interval);
    }

    /// The images of codes [batch, length, context_dim] from noise z [batch, 3, height, width]; clipped to [−1, 1].
    [[nodiscard]] Images operator()(const Codes& code, Images z, const typename Model::Callback& callback = {}) const {
        const auto angles = model_->geometry(z.extent(2), z.extent(3));
        const Conditions conditional = conditions(code);
        StepTimes times(*model_, schedule_);
        for (int i = 0; i < schedule_.steps(); ++i) {
            const Images v = velocity(i, z, conditional, times, angles);
            const Images previous = z;
            z = rectified_flow::euler(z, v, schedule_.step(i));
            if (callback) {
                const double t = schedule_.times()[static_cast<std::size_t>(i)];
                const Images estimate = clamp(rectified_flow::euler(previous, v, t), -1.0, 1.0);
                const double next = schedule_.times()[static_cast<std::size_t>(i) + 1];
                if (!callback({i + 1, schedule_.steps(), next, z, estimate})) {
                    return estimate;
                }
            }
        }
        return clamp(z, -1.0, 1.0);
    }

    /// What the decoder sees of codes: with their mask channel, and followed by as many null codes.
    struct Conditions {
        CodeInputs with;
        CodeInputs both;
    };
    [[nodiscard]] static Conditions conditions(const Codes& code) {
        const CodeInputs with = Model::with_mask(code);
        return {with, concat<0>(with, Model::null_code(code.extent(0)))};
    }

    class StepTimes;
    /// The velocity of step i at z [batch, 3, height, width], guided where the options say so.
    [[nodiscard]] Images velocity(int i, const Images& z, const Conditions& conditional, StepTimes& times,
                                  const typename Model::Geometry& angles) const {
        const auto velocity_of = [&](const Images& state, const CodeInputs& condition) {
            if constexpr (is_autodiff<B>) {  // the slices of a table would each have a gradient of its size
                const double t = schedule_.times()[static_cast<std::size_t>(i)];
                return model_->velocity(state, condition, Model::Times::full(t, state.extent(0)), angles);
            } else {
                return model_->velocity_at(state, condition, times.row(i), angles);
            }
        };
        return guided(i) ? guide(z, conditional.both, options_.guidance, velocity_of)
                         : velocity_of(z, conditional.with);
    }

    /// Whether step i mixes the velocities with and without the code.
    [[nodiscard]] bool guided(int i) const {
        return options_.guidance != 1.0 && options_.interval.contains(schedule_.times()[static_cast<std::size_t>(i)]);
    }
    [[nodiscard]] const ShiftedSchedule& schedule() const { return schedule_; }

    /// The guided velocity at z [batch, 3, h, w]: v_null + guidance · (v_code − v_null), of one call for both.
    /// `both` holds the codes, then as many null codes; `guidance` is a number of the host or of the device.
    template <class Number, class Velocity>
    [[nodiscard]] static Images guide(const Images& z, const CodeInputs& both, const Number& guidance,
                                      Velocity&& velocity) {
        const Index batch = z.extent(0);
        const Images pair = velocity(Images(concat<0>(z, z)), both);
        const Images with(slice<0>(pair, 0, batch));
        const Images without(slice<0>(pair, batch, 2 * batch));
        return without + (with - without) * guidance;
    }

    /// The decoder's modulations at a schedule's steps, computed for several steps at once.
    class StepTimes {
       public:
        StepTimes(const Model& model, const ShiftedSchedule& schedule) : model_(model), schedule_(schedule) {}

        /// Modulations of step i, [1, width]; steps come in ascending order.
        [[nodiscard]] Modulations row(int i) {
            if (i >= end_) {
                begin_ = i;
                end_ = std::min(i + at_once, schedule_.steps());
                PoolVector<T> times;
                for (int k = begin_; k < end_; ++k) {
                    times.push_back(static_cast<T>(static_cast<float>(schedule_.times()[static_cast<std::size_t>(k)])));
                }
                table_ = model_.modulations(Model::Times::from_host(times, {end_ - begin_}));
            }
            return slice<0>(table_, i - begin_, i - begin_ + 1);
        }

       private:
        static constexpr int at_once = 32;  // 28 MB for FlowMo-Lo

        const Model& model_;
        const ShiftedSchedule& schedule_;
        Modulations table_;
        int begin_ = 0;
        int end_ = 0;
    };

   private:
    const Model* model_;
    FlowMoDecodeOptions options_;
    ShiftedSchedule schedule_;
};

}  // namespace flowfar
