#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "flowfar/flowmo/model.hpp"

namespace flowfar {

/// The code of a FlowMo before quantization as latents that another model can generate (the concept LatentTokenizer of
/// far/tokenizer.hpp), a square: code position n in row n / side, column n % side. Decoding
/// quantizes and integrates the flow.
template <class C, class B, class T = float>
class FlowMoTokenizer {
    [[nodiscard]] static constexpr Index root(Index n) {
        Index side = 1;
        while (side * side < n) {
            ++side;
        }
        return side;
    }

   public:
    using Model = FlowMo<C, B, T>;
    using Quantizer = typename Model::Quantizer;
    static_assert(DiscreteQuantizer<Quantizer>, "FlowMoTokenizer: a continuous code needs no FlowMoTokenizer");
    static_assert(root(C::code_length) * root(C::code_length) == C::code_length,
                  "FlowMoTokenizer: the code length must be a square");
    static_assert(C::image_height != dyn && C::image_width != dyn, "FlowMoTokenizer: images must have a fixed size");
    static constexpr std::string_view name = C::name;
    static constexpr Index image_height = C::image_height;
    static constexpr Index image_width = C::image_width;
    static constexpr Index channels = C::context_dim;
    static constexpr Index height = root(C::code_length);
    static constexpr Index width = height;
    static constexpr double limit = 0.0;
    using Images = Tensor<B, Shape<dyn, 3, image_height, image_width>, T>;
    using Statistics = Tensor<B, Shape<dyn, channels, height, width>, T>;
    using Latents = Statistics;

    explicit FlowMoTokenizer(std::shared_ptr<const Model> model, FlowMoDecodeOptions decoding = {})
        : model_(std::move(model)), decoding_(decoding) {}

    /// The factor between codes and latents, 1 until it is set. For unit variance: `unit_scale` of some photos' codes.
    void set_scale(double scale) {
        require(std::isfinite(scale) && scale > 0.0, "FlowMoTokenizer: expected a positive scale, found ", scale);
        scale_ = scale;
    }

    [[nodiscard]] Statistics statistics(const Images& images) const {
        const auto code = model_->encode_continuous(images);  // [batch, length, channels]
        const Index batch = images.extent(0);
        return permute<0, 3, 1, 2>(reshape<dyn, height, width, channels>(code, batch));
    }
    [[nodiscard]] Latents draw(const Statistics& code, std::uint64_t /*seed*/) const { return code * scale_; }
    [[nodiscard]] Images decode(const Latents& latents) const {
        const Index batch = latents.extent(0);
        const typename Model::Encoded code =
            reshape<typename Model::Encoded::Shape>(permute<0, 2, 3, 1>(latents * (1.0 / scale_)), batch);
        return model_->decode(Quantizer::tokens(code), decoding_);
    }

    /// The scale that gives these codes unit variance about zero.
    [[nodiscard]] static double unit_scale(const Statistics& code) {
        const double square_mean = static_cast<double>(mean(square(code)).item());
        require(square_mean > 0.0, "FlowMoTokenizer: all codes are zero");
        return 1.0 / std::sqrt(square_mean);
    }

   private:
    std::shared_ptr<const Model> model_;
    double scale_ = 1.0;
    FlowMoDecodeOptions decoding_;
};

}  // namespace flowfar
