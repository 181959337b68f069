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
    explicit TokenizerOf(K tokenizer) : tokenizer_(std::move(tokenizer)) {
        facts_ = {std::string(K::name),
                  static_cast<int>(K::image_size),
                  K::channels,
                  K::side,
                  K::Statistics::Shape::at(1),
                  !has_scale};
    }
    std::vector<float> statistics(const std::vector<float>& images) const override {
        return tokenizer_.statistics(tensor<typename K::Images>(images)).to_host();
    }
    std::vector<float> draw(const std::vector<float>& statistics, std::uint64_t seed) const override {
        return tokenizer_.draw(tensor<typename K::Statistics>(statistics), seed).to_host();
    }
    std::vector<float> decode(const std::vector<float>& latents) const override {
        return tokenizer_.decode(tensor<typename K::Latents>(latents)).to_host();
    }
    double measured_scale(const std::vector<float>& images) const override {
        if constexpr (has_scale) {
            return K::unit_scale(tokenizer_.statistics(tensor<typename K::Images>(images)));
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
    static X tensor(const std::vector<float>& values) {
        constexpr Index size = X::Shape::at(1) * X::Shape::at(2) * X::Shape::at(3);
        return X::from_host(
            values, {static_cast<Index>(values.size()) / size, X::Shape::at(1), X::Shape::at(2), X::Shape::at(3)});
    }
    K tokenizer_;
};

template <class K>
std::unique_ptr<AnyTokenizer> tokenizer(K value) {
    return std::make_unique<TokenizerOf<K>>(std::move(value));
}

template <class Model>
std::shared_ptr<const Model> loaded(const io::Path& weights) {
    auto model = std::make_shared<Model>();
    io::load_parameters(*model, weights, "", ByteProgress("MB loaded"));
    return model;
}

}  // namespace detail

template <class B>
std::unique_ptr<AnyTokenizer> make_tokenizer(Index channels, Index side, const io::Path& weights) {
    if (channels == 3) {
        require(weights.empty(), weights.string(), ": this configuration generates pixels and needs no tokenizer");
        if (side == 16) {
            return detail::tokenizer(PixelTokenizer<B, 16>());
        }
        require(side == 32, "no tokenizer for pixels ", side, " x ", side, ": expected 16 or 32");
        return detail::tokenizer(PixelTokenizer<B, 32>());
    }
    require(!weights.empty(), "latents of ", channels, " channels need --tokenizer FILE: ",
            channels == Kl16::latent_channels ? "the KL-16 autoencoder, such as kl16.ckpt" : "a FlowMo model");
    if (channels == Kl16::latent_channels) {
        using Kind = VaeTokenizer<Kl16, B>;
        require(side == Kind::side, "no tokenizer for latents of ", channels, " channels, ", side, " x ", side);
        return detail::tokenizer(Kind(detail::loaded<typename Kind::Model>(weights)));
    }
    using Kind = FlowMoTokenizer<FlowMoTiny64, B>;
    require(channels == Kind::channels && side == Kind::side, "no tokenizer for latents of ", channels, " channels, ",
            side, " x ", side);
    return detail::tokenizer(Kind(detail::loaded<typename Kind::Model>(weights)));
}

}  // namespace flowfar::program
