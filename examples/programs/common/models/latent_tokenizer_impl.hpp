#pragma once

// Defines make_tokenizer<B>(); included only by the units that examples/CMakeLists.txt generates per backend.

#include <memory>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/far/tokenizer.hpp"
#include "flowfar/flowmo/code_tokenizer.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/models/any_tokenizer.hpp"

namespace flowfar::program {

namespace detail {

template <LatentTokenizer K>
class TokenizerOf final : public AnyTokenizer {
   public:
    /// For latents of height × width; an image is `factor` times as large.
    TokenizerOf(K tokenizer, Index height, Index width, Index factor) : tokenizer_(std::move(tokenizer)) {
        facts_ = {std::string(K::name),
                  static_cast<int>(factor * height),
                  static_cast<int>(factor * width),
                  K::channels,
                  height,
                  width,
                  K::Statistics::Shape::at(1),
                  !has_scale};
    }
    std::vector<float> statistics(const std::vector<float>& images) const override {
        return tokenizer_.statistics(from<typename K::Images>(images, facts_.image_height, facts_.image_width))
            .to_host();
    }
    std::vector<float> draw(const std::vector<float>& statistics, std::uint64_t seed) const override {
        return tokenizer_.draw(from<typename K::Statistics>(statistics, facts_.height, facts_.width), seed).to_host();
    }
    std::vector<float> decode(const std::vector<float>& latents) const override {
        return tokenizer_.decode(from<typename K::Latents>(latents, facts_.height, facts_.width)).to_host();
    }
    double measured_scale(const std::vector<float>& images) const override {
        if constexpr (has_scale) {
            return K::unit_scale(
                tokenizer_.statistics(from<typename K::Images>(images, facts_.image_height, facts_.image_width)));
        } else {
            return 1.0;
        }
    }
    void set_scale(double scale) override {
        if constexpr (has_scale) {
            tokenizer_.set_scale(scale);
        }
    }

   private:
    static constexpr bool has_scale = requires(K& k) { k.set_scale(1.0); };

    template <class X>
    static X from(const std::vector<float>& values, Index height, Index width) {
        constexpr Index channels = X::Shape::at(1);
        const Index size = channels * height * width;
        return X::from_host(values, {static_cast<Index>(values.size()) / size, channels, height, width});
    }
    K tokenizer_;
};

template <class K>
std::unique_ptr<AnyTokenizer> tokenizer(K value, Index height, Index width, Index factor) {
    return std::make_unique<TokenizerOf<K>>(std::move(value), height, width, factor);
}

template <class Model>
std::shared_ptr<const Model> loaded(const io::Path& weights) {
    auto model = std::make_shared<Model>();
    io::load_parameters(*model, weights, "", ByteProgress("MB loaded"));
    return model;
}

}  // namespace detail

template <class B>
std::unique_ptr<AnyTokenizer> make_tokenizer(Index channels, Index height, Index width, const io::Path& weights) {
    if (channels == 3) {
        require(weights.empty(), weights.string(), ": this configuration generates pixels and needs no tokenizer");
        return detail::tokenizer(PixelTokenizer<B>(), height, width, 1);
    }
    require(!weights.empty(), "latents of ", channels, " channels need --tokenizer FILE: ",
            channels == Kl16::latent_channels ? "the KL-16 autoencoder, such as kl16.ckpt" : "a FlowMo model");
    if (channels == Kl16::latent_channels) {
        using Kind = VaeTokenizer<Kl16, B, dyn>;
        return detail::tokenizer(Kind(detail::loaded<typename Kind::Model>(weights)), height, width,
                                 Kind::Model::factor);
    }
    using Kind = FlowMoTokenizer<FlowMoTiny64, B>;
    require(channels == Kind::channels && height == Kind::height && width == Kind::width,
            "no tokenizer for latents of ", channels, " channels, ", height, " x ", width);
    return detail::tokenizer(Kind(detail::loaded<typename Kind::Model>(weights)), height, width,
                             Kind::image_height / Kind::height);
}

}  // namespace flowfar::program
