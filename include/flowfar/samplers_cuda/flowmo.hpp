#pragma once

#include <array>
#include <optional>
#include <utility>

#include "flowfar/backend/cuda/device_number.hpp"
#include "flowfar/backend/cuda/runtime/graph.hpp"
#include "flowfar/flowmo/model.hpp"

namespace flowfar {

/// FlowMo's decoder on `Cuda` with every sampling step queued as one CUDA graph: the same bits as the model's `decode`,
/// without the host's work for thousands of kernels. For one batch size; keep it to decode several batches. The model
/// must outlive it, and its parameters are read where they are now.
template <class C, class T = float>
class FlowMoGraphSampler {
   public:
    using Model = FlowMo<C, Cuda, T>;
    using Sampler = FlowMoSampler<Model>;
    using Images = typename Model::Images;
    using Modulations = typename Model::Modulations;
    static_assert(C::image_height != dyn && C::image_width != dyn,
                  "FlowMoGraphSampler: name a configuration with a fixed image size");

    FlowMoGraphSampler(const Model& model, Index batch)
        : model_(model),
          batch_(batch),
          state_(Images::zeros(batch)),
          code_(Model::null_code(2 * batch)),
          time_(Modulations::zeros({1, model.decoder.modulation_width()})) {}

    /// Tokens of this batch size → images [batch, 3, height, width] in [−1, 1], as the model's `decode`.
    [[nodiscard]] Images decode(const Tokens& tokens, const FlowMoDecodeOptions& options = {}) {
        require(tokens.batch == batch_, "FlowMoGraphSampler: made for a batch of ", batch_, ", found ", tokens.batch);
        const Sampler sampler(model_, options);
        const ShiftedSchedule& schedule = sampler.schedule();
        for (int i = 0; i < schedule.steps(); ++i) {
            record(sampler.guided(i));  // runs the step once: before the state counts
        }
        const Handle images = state_.handle();
        Cuda::assign(images, Cuda::normal(images.extents(), images.dtype, options.seed, 0));
        Cuda::assign(slice<0>(code_, 0, batch_).handle(), Model::with_mask(Model::code_of(tokens)).handle());
        guidance_.set(options.guidance);
        typename Sampler::StepTimes times(model_, schedule);
        for (int i = 0; i < schedule.steps(); ++i) {
            Cuda::assign(time_.handle(), times.row(i).handle());
            step_.set(schedule.step(i));
            graphs_[sampler.guided(i) ? 1 : 0]->replay();
        }
        return clamp(state_, -1.0, 1.0);
    }

   private:
    /// Records one Euler step on the buffers, with or without guidance.
    void record(bool guided) {
        std::optional<cuda::Graph>& graph = graphs_[guided ? 1 : 0];
        if (graph) {
            return;
        }
        cuda::Graph made;
        const auto angles = model_.geometry(C::image_height, C::image_width);
        static_cast<void>(made.record([&] {
            const auto velocity_of = [&](const Images& state, const typename Model::CodeInputs& condition) {
                return model_.velocity_at(state, condition, time_, angles);
            };
            const Images v = guided ? Sampler::guide(state_, code_, guidance_, velocity_of)
                                    : velocity_of(state_, typename Model::CodeInputs(slice<0>(code_, 0, batch_)));
            const Images next = rectified_flow::euler(state_, v, step_);
            Cuda::assign(state_.handle(), next.handle());
            return next;
        }));
        graph = std::move(made);
    }

    const Model& model_;
    Index batch_;
    Images state_;
    typename Model::CodeInputs code_;  ///< the condition, then the null code
    Modulations time_;                 ///< of the step
    cuda::DeviceNumber step_;
    cuda::DeviceNumber guidance_;
    std::array<std::optional<cuda::Graph>, 2> graphs_;  ///< without and with guidance
};

}  // namespace flowfar
