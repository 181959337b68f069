#pragma once

/// Stage 1B of FlowMo's training: a sample is drawn in a few steps of random size and judged as a whole, with gradients
/// through all steps, so that the decoder learns to end in one mode (arXiv 2503.11056, section 3.2).

#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/flowmo/loss.hpp"

namespace flowfar {

/// The random quantities of one chain of steps.
template <class T>
struct SampleChainDraws {
    Index steps = 0;
    std::vector<T> times;          ///< [batch, steps + 1], each row falls from 1 to 0
    std::vector<T> keep;           ///< [steps, batch], 0 hides the code from that step
    std::uint64_t noise_seed = 0;  ///< z at t = 1 is the N(0, 1) stream of this seed

    /// A row of times from steps + 1 uniforms: they are the distances of points on a line, of which the first and last
    /// become t = 0 and t = 1. (So the first uniform has no influence.)
    [[nodiscard]] static std::vector<T> times_of(std::span<const T> uniforms) {
        std::vector<T> sums;
        T sum = 0;
        for (const T u : uniforms) {
            sum += u;
            sums.push_back(sum);
        }
        const T first = sums.front();
        const T length = sums.back() - first;
        std::vector<T> out;
        for (auto it = sums.rbegin(); it != sums.rend(); ++it) {
            out.push_back((*it - first) / length);
        }
        return out;
    }

    /// Draws for a batch: a pure function of `seed`. `drop` is the probability that a step does not see the code.
    [[nodiscard]] static SampleChainDraws make(Index batch, Index steps, double drop, std::uint64_t seed) {
        require(steps >= 1, "sample chain: expected at least one step, found ", steps);
        SampleChainDraws out;
        out.steps = steps;
        Random random(fold(seed, "chain times"));
        std::vector<T> uniforms(static_cast<std::size_t>(steps) + 1);
        for (Index i = 0; i < batch; ++i) {
            for (T& u : uniforms) {
                u = static_cast<T>(random.uniform());
            }
            const std::vector<T> row = times_of(uniforms);
            out.times.insert(out.times.end(), row.begin(), row.end());
        }
        Random codes(fold(seed, "chain codes"));
        for (Index i = 0; i < steps * batch; ++i) {
            out.keep.push_back(codes.uniform() > drop ? T(1) : T(0));
        }
        out.noise_seed = fold(seed, "chain noise");
        return out;
    }
};

/// Integrates the probability flow from z at t = 1 under a code with mask channel, by Euler steps of each sample's own
/// size; the result is not clipped. On Autodiff<B> every step is recomputed in the backward pass, so memory holds one
/// step and one z per step. `observe(i, t, z)` sees each step's input.
template <class Model, class Observer>
[[nodiscard]] typename Model::Images sample_chain(const Model& model, const typename Model::CodeInputs& code,
                                                  typename Model::Images z,
                                                  const SampleChainDraws<typename Model::Element>& draws,
                                                  Observer&& observe) {
    using B = typename Model::Backend;
    using T = typename Model::Element;
    using Images = typename Model::Images;
    using CodeInputs = typename Model::CodeInputs;
    const Index batch = z.extent(0);
    const Index columns = draws.steps + 1;
    require(static_cast<Index>(draws.times.size()) == batch * columns &&
                static_cast<Index>(draws.keep.size()) == batch * draws.steps,
            "sample chain: ", draws.times.size(), " times and ", draws.keep.size(), " masks for ", draws.steps,
            " steps of ", batch, " images");
    const auto angles = model.geometry(z.extent(2), z.extent(3));
    const Model* const at = &model;
    for (Index i = 0; i < draws.steps; ++i) {
        std::vector<T> now;
        std::vector<T> length;
        std::vector<T> keep;
        for (Index sample = 0; sample < batch; ++sample) {
            const auto place = static_cast<std::size_t>(sample * columns + i);
            now.push_back(draws.times[place]);
            length.push_back(draws.times[place] - draws.times[place + 1]);
            keep.push_back(draws.keep[static_cast<std::size_t>(i * batch + sample)]);
        }
        const auto t = Model::Times::from_host(now, {batch});
        const auto dt = Tensor<B, Shape<dyn, 1, 1, 1>, T>::from_host(length, {batch, 1, 1, 1});
        const auto kept = Tensor<B, Shape<dyn, 1, 1>, T>::from_host(keep, {batch, 1, 1});
        observe(i, t, z);
        const auto step = [at, angles, t, dt, kept](const Images& from, const CodeInputs& condition) {
            return rectified_flow::euler(from, at->velocity(from, condition * kept, t, angles), dt);
        };
        if constexpr (is_autodiff<B>) {
            z = checkpoint(step, z, code);
        } else {
            z = step(z, code);
        }
    }
    return z;
}
template <class Model>
[[nodiscard]] typename Model::Images sample_chain(const Model& model, const typename Model::CodeInputs& code,
                                                  const typename Model::Images& z,
                                                  const SampleChainDraws<typename Model::Element>& draws) {
    return sample_chain(model, code, z, draws, [](Index, const auto&, const auto&) {});
}

/// Stage 1B's loss and what it is made of.
template <class Model>
struct FlowMoPosttrainLoss {
    typename FlowMoLoss<Model>::Scalar total;
    typename FlowMoLoss<Model>::Scalar perceptual;  ///< of the sample, without its weight
    FlowMoLoss<Model> flow;                         ///< the flow loss of the same images, the encoder frozen
    typename Model::Images sample;                  ///< not clipped
};

/// Flow loss plus `perceptual.weight` times the perceptual difference between images and samples of their codes. The
/// encoder is frozen.
template <class Model, class Perceptual>
[[nodiscard]] FlowMoPosttrainLoss<Model> flowmo_posttrain_loss(const Model& model, const typename Model::Images& images,
                                                               const typename Model::Images& noise,
                                                               const FlowMoDraws<typename Model::Element>& draws,
                                                               const typename Model::Images& chain_noise,
                                                               const SampleChainDraws<typename Model::Element>& chain,
                                                               const Perceptual& perceptual,
                                                               const QuantizerWeights& weights = {}) {
    static_assert(!std::is_same_v<Perceptual, NoPerceptualLoss>, "stage 1B needs a perceptual loss");
    FlowMoPosttrainLoss<Model> out;
    out.flow = flowmo_loss(model, images, noise, draws, NoPerceptualLoss{}, true, weights);
    const auto code = Model::with_mask(Model::Quantizer::quantize(out.flow.code, draws.code_seed));
    out.sample = sample_chain(model, code, chain_noise, chain);
    out.perceptual = perceptual(images, out.sample);
    out.total = out.flow.total + out.perceptual * perceptual.weight;
    return out;
}

}  // namespace flowfar
