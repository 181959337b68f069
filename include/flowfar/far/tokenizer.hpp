#pragma once

/// Tokenizers: what turns images into the latents that FAR generates, and back. Here are pixels themselves and the
/// KL-16 autoencoder; a third is the continuous code of a FlowMo, flowmo/code_tokenizer.hpp.

#include <concepts>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "flowfar/far/vae/model.hpp"

namespace flowfar {

/// Images are [batch, 3, image_height, image_width] in [−1, 1]; latents [batch, channels, height, width] of about unit
/// variance. Sizes that are left to run time are `dyn`.
/// `statistics` is all that the images determine, worth keeping on disk; `draw` makes latents of it with the random
/// numbers of a seed, if there are any to make. `limit` bounds the absolute values of latents; 0 says that there is no
/// bound.
template <class K>
concept LatentTokenizer =
    requires(const K& k, const typename K::Images& images, const typename K::Statistics& statistics,
             const typename K::Latents& latents, std::uint64_t seed) {
        { K::name } -> std::convertible_to<std::string_view>;
        { K::image_height } -> std::convertible_to<Index>;
        { K::image_width } -> std::convertible_to<Index>;
        { K::channels } -> std::convertible_to<Index>;
        { K::height } -> std::convertible_to<Index>;
        { K::width } -> std::convertible_to<Index>;
        { K::limit } -> std::convertible_to<double>;
        { k.statistics(images) } -> std::same_as<typename K::Statistics>;
        { k.draw(statistics, seed) } -> std::same_as<typename K::Latents>;
        { k.decode(latents) } -> std::same_as<typename K::Images>;
    };

/// Pixels as latents: 3 channels, multiplied by 2, because photos in [−1, 1] deviate by about ½ (CIFAR-10: 0.50). A
/// configuration's patch size makes tokens of more than one pixel.
template <class B, Index Height = dyn, Index Width = Height, class T = float>
class PixelTokenizer {
   public:
    static constexpr std::string_view name = "pixels";
    static constexpr Index image_height = Height;
    static constexpr Index image_width = Width;
    static constexpr Index channels = 3;
    static constexpr Index height = Height;
    static constexpr Index width = Width;
    static constexpr double limit = 2.0;
    using Images = Tensor<B, Shape<dyn, 3, Height, Width>, T>;
    using Statistics = Images;
    using Latents = Images;

    [[nodiscard]] Statistics statistics(const Images& images) const { return images; }
    [[nodiscard]] Latents draw(const Statistics& pixels, std::uint64_t /*seed*/) const { return pixels * limit; }
    [[nodiscard]] Images decode(const Latents& latents) const { return clamp(latents / limit, -1.0, 1.0); }
};

/// The KL-regularised autoencoder C of images of Height × Width pixels. The model is shared with its other users.
template <class C, class B, Index Height = C::resolution, Index Width = Height, class T = float>
class VaeTokenizer {
   public:
    using Model = Vae<C, B, T>;
    static_assert((Height == dyn || Height % Model::factor == 0) && (Width == dyn || Width % Model::factor == 0),
                  "VaeTokenizer: the autoencoder's factor must divide the image size");
    static constexpr std::string_view name = C::name;
    static constexpr Index image_height = Height;
    static constexpr Index image_width = Width;
    static constexpr Index channels = C::latent_channels;
    static constexpr Index height = Height == dyn ? dyn : Height / Model::factor;
    static constexpr Index width = Width == dyn ? dyn : Width / Model::factor;
    static constexpr double limit = 0.0;
    using Images = Tensor<B, Shape<dyn, 3, Height, Width>, T>;
    using Statistics = Tensor<B, Shape<dyn, 2 * channels, height, width>, T>;  ///< mean, then log variance
    using Latents = Tensor<B, Shape<dyn, channels, height, width>, T>;

    explicit VaeTokenizer(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

    [[nodiscard]] Statistics statistics(const Images& images) const {
        return model_->moments(images, [](std::string_view, const auto&) {});
    }
    [[nodiscard]] Latents draw(const Statistics& moments, std::uint64_t seed) const {
        using Map = typename Model::Latents;
        const auto posterior = Model::posterior(typename Model::Moments(moments));
        return C::latent_scale * posterior.sample(Map::normal(posterior.mean.extents(), seed));
    }
    [[nodiscard]] Images decode(const Latents& latents) const { return model_->decode(latents); }

   private:
    std::shared_ptr<const Model> model_;
};

}  // namespace flowfar
