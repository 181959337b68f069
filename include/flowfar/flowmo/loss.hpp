#pragma once

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/diffusion/rectified_flow.hpp"
#include "flowfar/flowmo/model.hpp"

namespace flowfar {

/// The perceptual term of the training loss as a policy: `operator()(x, prediction)` gives a scalar tensor, `weight`
/// its factor. This one adds nothing.
struct NoPerceptualLoss {
    static constexpr double weight = 0.0;
};

/// A weight-free stand-in for demonstrations, not a published loss: mean absolute differences of first derivatives
/// (right and down neighbors) at `Scales` resolutions, each half the one before by 2×2 averaging. It favors edges in
/// the right place over exact colors; it knows nothing about perception. Images are [batch, 3, H, W] with H and W
/// divisible by 2^Scales.
///
///     FlowMoTrainer<FlowMoTiny, Cpu, MultiScaleGradientLoss<>> trainer;
template <int Scales = 3>
struct MultiScaleGradientLoss {
    static_assert(Scales >= 1, "MultiScaleGradientLoss: at least one scale");
    double weight = 0.1;

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x, const X& prediction) const {
        using Any = WithShape<X, Shape<dyn, 3, dyn, dyn>>;
        constexpr Index unit = Index{1} << Scales;
        require(x.extent(2) % unit == 0 && x.extent(3) % unit == 0, "MultiScaleGradientLoss: ", Scales,
                " scales need a height and width divisible by ", unit, ", found ", x.extents());
        return level<Scales>(Any(prediction - x));
    }

   private:
    template <int Left, AnyTensor D>
    [[nodiscard]] auto level(const D& difference) const {
        const Index height = difference.extent(2);
        const Index width = difference.extent(3);
        const auto right = slice<3>(difference, 1, width) - slice<3>(difference, 0, width - 1);
        const auto down = slice<2>(difference, 1, height) - slice<2>(difference, 0, height - 1);
        const auto here = mean(abs(right)) + mean(abs(down));
        if constexpr (Left == 1) {
            return here;
        } else {
            const auto six = reshape<dyn, 3, dyn, 2, dyn, 2>(difference, difference.extent(0), height / 2, width / 2);
            const auto pooled =
                reshape<dyn, 3, dyn, dyn>(mean<3>(mean<5>(six)), difference.extent(0), height / 2, width / 2);
            return here + level<Left - 1>(pooled);
        }
    }
};

/// The random quantities of one loss evaluation.
template <class T>
struct FlowMoDraws {
    PoolVector<T> times;           ///< [batch], t ∈ (0, 1)
    PoolVector<T> keep;            ///< [batch], 1 keeps the code, 0 drops it for guidance
    std::uint64_t noise_seed = 0;  ///< ε is the N(0, 1) stream of this seed
    std::uint64_t code_seed = 0;   ///< of quantizers that draw

    /// Draws for a batch: a pure function of `seed`. Times come from a policy type or from its run-time twin.
    template <class Distribution>
    [[nodiscard]] static FlowMoDraws make(Index batch, Distribution distribution, double drop, std::uint64_t seed) {
        Random random(fold(seed, "times"));
        FlowMoDraws out;
        for (Index i = 0; i < batch; ++i) {
            out.times.push_back(static_cast<T>(draw_time(distribution, random)));
            out.keep.push_back(random.uniform() > drop ? T(1) : T(0));
        }
        out.noise_seed = fold(seed, "noise");
        out.code_seed = fold(seed, "code");
        return out;
    }
};

/// Stage 1A's loss (arXiv 2503.11056, section 3.1) and its parts; all scalars.
template <class Model>
struct FlowMoLoss {
    using Scalar = Tensor<typename Model::Backend, Shape<>, typename Model::Element>;
    Scalar total;
    Scalar flow;
    QuantizerLoss<Scalar> quantizer;
    Scalar perceptual;  ///< absent without a perceptual term
    typename Model::Images velocity;
    typename Model::Images prediction;      ///< the clean images that the velocities imply
    typename Model::Encoded code;           ///< before quantization
    typename Model::CodeInputs code_input;  ///< what the decoder saw
};

/// Flow + quantizer + perceptual loss of images [batch, 3, H, W] given times, noise and kept codes. With
/// `freeze_encoder` the code carries no gradient and the quantizer loss is only reported.
template <class Model, class Perceptual = NoPerceptualLoss>
[[nodiscard]] FlowMoLoss<Model> flowmo_loss(const Model& model, const typename Model::Images& images,
                                            const typename Model::Images& noise,
                                            const FlowMoDraws<typename Model::Element>& draws,
                                            const Perceptual& perceptual = {}, bool freeze_encoder = false,
                                            const QuantizerWeights& weights = {}) {
    using B = typename Model::Backend;
    using T = typename Model::Element;
    const Index batch = images.extent(0);
    require(static_cast<Index>(draws.times.size()) == batch && static_cast<Index>(draws.keep.size()) == batch,
            "flowmo_loss: ", draws.times.size(), " times and ", draws.keep.size(), " masks for ", batch, " images");
    const auto t = Model::Times::from_host(draws.times, {batch});
    const auto keep = Tensor<B, Shape<dyn, 1, 1>, T>::from_host(draws.keep, {batch, 1, 1});

    FlowMoLoss<Model> out;
    out.code = model.encode_continuous(images);
    if (freeze_encoder) {
        out.code = detach(out.code);  // releases the encoder's graph
    }
    out.quantizer = Model::Quantizer::loss(out.code, weights);
    const auto quantized = Model::with_mask(Model::Quantizer::quantize(out.code, draws.code_seed));
    out.code_input = quantized * keep;
    const auto z = rectified_flow::interpolate(images, noise, t);
    out.velocity = model.velocity(z, out.code_input, t);
    out.prediction = rectified_flow::predict(z, out.velocity, t);
    out.flow = rectified_flow::loss(images, noise, out.velocity);
    out.total = freeze_encoder ? out.flow : out.flow + out.quantizer.total;
    if constexpr (!std::is_same_v<Perceptual, NoPerceptualLoss>) {
        out.perceptual = perceptual(images, out.prediction);
        out.total = out.total + out.perceptual * perceptual.weight;
    }
    return out;
}

}  // namespace flowfar
