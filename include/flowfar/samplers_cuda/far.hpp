#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "flowfar/backend/cuda/device_number.hpp"
#include "flowfar/backend/cuda/runtime/graph.hpp"
#include "flowfar/far/model.hpp"

namespace flowfar {

/// A diffusion head's chain on `Cuda` with every step but the last queued as one CUDA graph: the same bits as the
/// head's `sample`, without the host's work for dozens of kernels. It reads the head's parameters where they are now;
/// the head must outlive it.
template <class Head>
class DiffusionGraphs {
   public:
    using Rows = typename Head::Rows;
    using Hidden = typename Head::Hidden;

    explicit DiffusionGraphs(const Head& head) : head_(head) {}

    /// As the head's `sample`. Deterministic solvers take few steps, which are not recorded.
    template <class Noise>
    [[nodiscard]] Rows sample(const Hidden& condition, const typename Head::Prepared& prepared, double guidance,
                              const ddpm::StepOptions& options, Noise&& noise, const std::function<bool()>& stop = {}) {
        const int steps = prepared.process.steps();
        if (prepared.solver != DiffusionSolver::ancestral || options.temperature == 0.0 || steps < worth_recording) {
            return head_.sample(condition, prepared, guidance, options, noise, stop);
        }
        const bool two = guidance != 1.0;
        Recorded& recorded = recorded_for(condition.extent(0), two, options.clip);
        const Handle numbers = table(prepared.process, options.temperature);
        Cuda::assign(recorded.condition.handle(), condition.handle());
        Cuda::assign(recorded.x.handle(), noise(0).handle());
        recorded.guidance.set(guidance);
        for (int t = steps - 1; t > 0; --t) {
            if (stop && stop()) {
                return {};
            }
            Cuda::assign(recorded.time.handle(), slice<0>(prepared.times, t, t + 1).handle());
            Cuda::assign(recorded.numbers, Cuda::slice(numbers, 0, t, t + 1));
            Cuda::assign(recorded.noise.handle(), noise(steps - t).handle());
            recorded.graph.replay();
        }
        if (stop && stop()) {
            return {};
        }
        return head_.step(recorded.x, recorded.condition + slice<0>(prepared.times, 0, 1), guidance,
                          ddpm::step_numbers(prepared.process, 0, options.temperature), Rows(), options.clip);
    }

   private:
    using Number = cuda::DeviceNumber;
    static constexpr int worth_recording = 4;  // steps; recording takes the host two
    static constexpr Index count = sizeof(ddpm::StepNumbers<double>) / sizeof(double);

    /// A step and the operands that its replays read.
    struct Recorded {
        double clip;
        Hidden condition;
        Rows x;
        Rows noise;
        Hidden time;
        Handle numbers;  ///< [1, count], f32
        Number guidance;
        cuda::Graph graph;
    };

    [[nodiscard]] Recorded& recorded_for(Index conditions, bool two, double clip) {
        std::optional<Recorded>& place = recorded_[two ? 1 : 0];
        if (place && place->condition.extent(0) == conditions && place->clip == clip) {
            return *place;
        }
        place.reset();
        const Index rows = two ? conditions / 2 : conditions;
        const auto zeros = [rows] { return Rows::zeros({rows, Rows::Shape::at(1)}); };
        Recorded made{clip,
                      Hidden::zeros({conditions, Hidden::Shape::at(1)}),
                      zeros(),
                      zeros(),
                      Hidden::zeros({1, Hidden::Shape::at(1)}),
                      Cuda::full({1, count}, DType::f32, 0.0),
                      Number(1.0),
                      {}};
        static_cast<void>(made.graph.record([&] {
            const Handle n = Cuda::reshape(made.numbers, {count});
            const ddpm::StepNumbers<Number> numbers{Number(n, 0), Number(n, 1), Number(n, 2),
                                                    Number(n, 3), Number(n, 4), Number(n, 5),
                                                    Number(n, 6), Number(n, 7), Number(n, 8)};
            const Rows next = head_.step(made.x, made.condition + made.time, made.guidance, numbers, made.noise, clip);
            Cuda::assign(made.x.handle(), next.handle());
            return next;
        }));
        return place.emplace(std::move(made));
    }

    /// The numbers of all steps, [steps, count], f32.
    [[nodiscard]] static Handle table(const DdpmSchedule& process, double temperature) {
        std::vector<float> values;
        for (int t = 0; t < process.steps(); ++t) {
            const ddpm::StepNumbers<double> n = ddpm::step_numbers(process, t, temperature);
            for (const double value : {n.start_of_x, n.start_of_epsilon, n.mean_of_start, n.mean_of_x, n.direct_of_x,
                                       n.direct_of_epsilon, n.slope, n.offset, n.temperature}) {
                values.push_back(static_cast<float>(value));
            }
        }
        return Cuda::from_host(values.data(), {process.steps(), count}, DType::f32);
    }

    const Head& head_;
    std::array<std::optional<Recorded>, 2> recorded_;  ///< without and with guidance
};

/// A sampler (autoregressive/sample.hpp) of a model on `Cuda` with the diffusion steps as CUDA graphs: the same bits.
/// Keep it to generate several batches. The model must outlive it, and its parameters are read where they are now.
template <class Sampler>
class TokenGraphSampler {
   public:
    using Model = typename Sampler::Model;
    using Latents = typename Model::Latents;
    using Callback = typename Sampler::Callback;

    TokenGraphSampler(const Model& model, TokenSampleOptions options)
        : sampler_(model, std::move(options)), chain_(model.head) {}

    /// One latent per label or prompt, as the sampler.
    [[nodiscard]] Latents operator()(typename Model::Request request, const Callback& callback = {}) {
        return sampler_.run(request, sampler_.draws(Model::count(request)), callback,
                            [this](const auto&... arguments) { return chain_.sample(arguments...); });
    }

   private:
    Sampler sampler_;
    DiffusionGraphs<typename Model::Head> chain_;
};

template <class C, class T = float>
using FarGraphSampler = TokenGraphSampler<FarSampler<Far<C, Cuda, T>>>;

}  // namespace flowfar
