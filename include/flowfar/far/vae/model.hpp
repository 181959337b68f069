#pragma once

#include <cstdint>
#include <string_view>
#include <tuple>
#include <vector>

#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/far/vae/blocks.hpp"
#include "flowfar/far/vae/config.hpp"
#include "flowfar/nn/blocks.hpp"

namespace flowfar {

namespace detail {

/// Widths and other facts about one level of configuration C.
template <class C, std::size_t Level>
struct VaeLevel {
    static constexpr std::size_t count = C::multipliers.size();
    static constexpr bool coarsest = Level + 1 == count;
    static constexpr Index out = C::width * C::multipliers[Level];
    static constexpr Index finer = (Level == 0 ? 1 : C::multipliers[Level == 0 ? 0 : Level - 1]) * C::width;
    static constexpr Index coarser = C::width * C::multipliers[coarsest ? Level : Level + 1];
    static constexpr bool attends = (C::resolution >> Level) == C::attention_resolution;
};

/// One level of the encoder: residual blocks, attention after each at one resolution, downsampling.
template <class C, class B, std::size_t Level, class T>
struct VaeDown {
    using Backend = B;
    using Facts = VaeLevel<C, Level>;
    using Map = FeatureMap<B, Facts::out, T>;
    using Attention = PixelAttention<B, Facts::out, C::groups, T>;

    ResnetBlock<B, Facts::finer, Facts::out, C::groups, T> first;
    std::vector<ResnetBlock<B, Facts::out, Facts::out, C::groups, T>> rest =
        make_blocks<ResnetBlock<B, Facts::out, Facts::out, C::groups, T>>(C::blocks - 1);
    std::vector<Attention> attentions = make_blocks<Attention>(Facts::attends ? C::blocks : 0);
    std::conditional_t<Facts::coarsest, Absent, Downsample<B, Facts::out, T>> downsample;

    /// `observe` sees the result of the last residual block.
    template <class Observer>
    [[nodiscard]] Map operator()(const FeatureMap<B, Facts::finer, T>& x, Observer&& observe) const {
        Map y = first(x);
        for (std::size_t i = 0; i <= rest.size(); ++i) {
            y = i == 0 ? y : rest[i - 1](y);
            if (i == rest.size()) {
                observe(y);
            }
            y = Facts::attends ? attentions[i](y) : y;
        }
        if constexpr (Facts::coarsest) {
            return y;
        } else {
            return downsample(y);
        }
    }
    void initialize(std::uint64_t seed) { initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("block.0", self.first);
        for (std::size_t i = 0; i < self.rest.size(); ++i) {
            v(text("block.", i + 1), self.rest[i]);
        }
        for (std::size_t i = 0; i < self.attentions.size(); ++i) {
            v(text("attn.", i), self.attentions[i]);
        }
        if constexpr (!Facts::coarsest) {
            v("downsample", self.downsample);
        }
    }
};

/// One level of the decoder: residual blocks, then upsampling except at the finest level.
template <class C, class B, std::size_t Level, class T>
struct VaeUp {
    using Backend = B;
    using Facts = VaeLevel<C, Level>;
    using Map = FeatureMap<B, Facts::out, T>;

    ResnetBlock<B, Facts::coarser, Facts::out, C::groups, T> first;
    std::vector<ResnetBlock<B, Facts::out, Facts::out, C::groups, T>> rest =
        make_blocks<ResnetBlock<B, Facts::out, Facts::out, C::groups, T>>(C::blocks);
    std::conditional_t<Level == 0, Absent, Upsample<B, Facts::out, T>> upsample;

    /// `observe` sees the result of the last residual block.
    template <class Observer>
    [[nodiscard]] Map operator()(const FeatureMap<B, Facts::coarser, T>& x, Observer&& observe) const {
        Map y = first(x);
        for (const auto& block : rest) {
            y = block(y);
        }
        observe(y);
        if constexpr (Level == 0) {
            return y;
        } else {
            return upsample(y);
        }
    }
    void initialize(std::uint64_t seed) { initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("block.0", self.first);
        for (std::size_t i = 0; i < self.rest.size(); ++i) {
            v(text("block.", i + 1), self.rest[i]);
        }
        if constexpr (Level != 0) {
            v("upsample", self.upsample);
        }
    }
};

template <template <class, class, std::size_t, class> class Level, class C, class B, class T, class Sequence>
struct VaeLevelsOf;
template <template <class, class, std::size_t, class> class Level, class C, class B, class T, std::size_t... I>
struct VaeLevelsOf<Level, C, B, T, std::index_sequence<I...>> {
    using type = std::tuple<Level<C, B, I, T>...>;
};
template <template <class, class, std::size_t, class> class Level, class C, class B, class T>
using VaeLevels =
    typename VaeLevelsOf<Level, C, B, T, std::make_index_sequence<std::tuple_size_v<decltype(C::multipliers)>>>::type;

/// Calls `v("<name>.<index>", level)` for every level of a tuple.
template <class Levels, class V>
void visit_levels(const char* name, Levels& levels, V&& v) {
    std::apply(
        [&](auto&... level) {
            int i = 0;
            (v(text(name, ".", i++), level), ...);
        },
        levels);
}

}  // namespace detail

/// The blocks at the coarsest resolution: residual, attention, residual.
template <class B, Index Channels, Index Groups, class T = float>
struct VaeMiddle {
    using Backend = B;
    using Map = FeatureMap<B, Channels, T>;

    ResnetBlock<B, Channels, Channels, Groups, T> block_1;
    PixelAttention<B, Channels, Groups, T> attn_1;
    ResnetBlock<B, Channels, Channels, Groups, T> block_2;

    template <class Observer>
    [[nodiscard]] Map operator()(const Map& x, Observer&& observe) const {
        const Map y = attn_1(block_1(x));
        observe(y);
        return block_2(y);
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("block_1", self.block_1);
        v("attn_1", self.attn_1);
        v("block_2", self.block_2);
    }
};

/// Images to features of twice the latent's channels.
template <class C, class B, class T = float>
struct VaeEncoder {
    using Backend = B;
    static constexpr Index top = C::width * C::multipliers.back();
    using Levels = detail::VaeLevels<detail::VaeDown, C, B, T>;

    Conv2d<B, C::image_channels, C::width, 3, T> conv_in;
    Levels down;
    VaeMiddle<B, top, C::groups, T> mid;
    GroupNorm<B, top, C::groups, T> norm_out;
    Conv2d<B, top, 2 * C::latent_channels, 3, T> conv_out;

    /// x [batch, image_channels, h, w] → [batch, 2·latent_channels, h/f, w/f]. `observe(name, map)` sees maps on the
    /// way.
    template <class Observer>
    [[nodiscard]] auto operator()(const FeatureMap<B, C::image_channels, T>& x, Observer&& observe) const {
        const auto first = conv_in(x);
        observe("conv_in", first);
        const auto middle = mid(descend<0>(first, observe), [&](const auto& y) { observe("mid.attn_1", y); });
        const auto out = conv_out(norm_out.activated(middle));
        observe("conv_out", out);
        return out;
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv_in", self.conv_in);
        detail::visit_levels("down", self.down, v);
        v("mid", self.mid);
        v("norm_out", self.norm_out);
        v("conv_out", self.conv_out);
    }

   private:
    template <std::size_t Level, class X, class Observer>
    [[nodiscard]] auto descend(const X& x, Observer& observe) const {
        if constexpr (Level == std::tuple_size_v<Levels>) {
            return x;
        } else {
            return descend<Level + 1>(std::get<Level>(down)(x, [&](const auto& y) { observe(text("down", Level), y); }),
                                      observe);
        }
    }
};

/// Latents to images.
template <class C, class B, class T = float>
struct VaeDecoder {
    using Backend = B;
    static constexpr Index top = C::width * C::multipliers.back();
    static constexpr Index bottom = C::width * C::multipliers.front();
    using Levels = detail::VaeLevels<detail::VaeUp, C, B, T>;

    Conv2d<B, C::latent_channels, top, 3, T> conv_in;
    VaeMiddle<B, top, C::groups, T> mid;
    Levels up;
    GroupNorm<B, bottom, C::groups, T> norm_out;
    Conv2d<B, bottom, C::image_channels, 3, T> conv_out;

    /// z [batch, latent_channels, h, w] → [batch, image_channels, f·h, f·w]. `observe(name, map)` sees maps on the way.
    template <class Observer>
    [[nodiscard]] auto operator()(const FeatureMap<B, C::latent_channels, T>& z, Observer&& observe) const {
        const auto first = conv_in(z);
        observe("conv_in", first);
        const auto middle = mid(first, [&](const auto& y) { observe("mid.attn_1", y); });
        return conv_out(norm_out.activated(ascend<std::tuple_size_v<Levels>>(middle, observe)));
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv_in", self.conv_in);
        v("mid", self.mid);
        detail::visit_levels("up", self.up, v);
        v("norm_out", self.norm_out);
        v("conv_out", self.conv_out);
    }

   private:
    /// Runs levels Count − 1, …, 0.
    template <std::size_t Count, class X, class Observer>
    [[nodiscard]] auto ascend(const X& x, Observer& observe) const {
        if constexpr (Count == 0) {
            return x;
        } else {
            return ascend<Count - 1>(
                std::get<Count - 1>(up)(x, [&](const auto& y) { observe(text("up", Count - 1), y); }), observe);
        }
    }
};

/// A normal distribution over latents with independent elements [batch, channels, h, w]: what the encoder gives.
template <AnyTensor Latents>
struct LatentPosterior {
    Latents mean;
    Latents log_variance;  ///< in [−30, 20]

    [[nodiscard]] Latents deviation() const { return exp(0.5 * log_variance); }
    /// mean + deviation · noise, for noise ~ N(0, 1).
    [[nodiscard]] Latents sample(const Latents& noise) const { return mean + deviation() * noise; }
    /// KL divergence from N(0, 1) in nats, summed per sample: [batch].
    [[nodiscard]] auto kl() const {
        const Latents terms = square(mean) + exp(log_variance) - log_variance - 1.0;
        const Index batch = mean.extent(0);
        const Index rest = batch == 0 ? 0 : mean.extents().count() / batch;
        const auto sums = sum<1>(reshape<dyn, dyn>(terms, batch, rest)) * 0.5;
        return reshape<dyn>(sums, batch);
    }
};

/// The KL-regularised autoencoder between images and the latents that FAR generates, with the parameter names of
/// kl16.ckpt. Images are [batch, 3, h, w] in [−1, 1] with sides that `factor` divides, 16 for KL-16. Parameters are
/// unset until `initialize` or a loader fills them.
///
///     const auto vae = load<Vae<Kl16, Cpu>>("kl16.ckpt");   // flowfar/io.hpp
///     const auto images = vae.decode(latents);               // [n, 16, 16, 16] → [n, 3, 256, 256]
template <class C, class B, class T>
class Vae {
   public:
    using Config = C;
    using Backend = B;
    using Element = T;
    using Images = FeatureMap<B, C::image_channels, T>;
    using Latents = FeatureMap<B, C::latent_channels, T>;
    using Moments = FeatureMap<B, 2 * C::latent_channels, T>;
    using Posterior = LatentPosterior<Latents>;
    /// Image pixels per latent pixel and side.
    static constexpr Index factor = Index{1} << (C::multipliers.size() - 1);

    VaeEncoder<C, B, T> encoder;
    VaeDecoder<C, B, T> decoder;
    Conv2d<B, 2 * C::latent_channels, 2 * C::latent_channels, 1, T> quant_conv;
    Conv2d<B, C::latent_channels, C::latent_channels, 1, T> post_quant_conv;

    /// Mean, then log variance (not yet limited) on the channel axis: [batch, 2·channels, h/factor, w/factor].
    template <class Observer>
    [[nodiscard]] Moments moments(const Images& images, Observer&& observe) const {
        require(images.extent(2) % factor == 0 && images.extent(3) % factor == 0, C::name, ": images of ",
                images.extent(2), "×", images.extent(3), " pixels; the sides must be multiples of ", factor);
        return quant_conv(encoder(images, observe));
    }
    [[nodiscard]] static Posterior posterior(const Moments& m) {
        constexpr Index n = C::latent_channels;
        return {slice<1, 0, n>(m), clamp(slice<1, n, 2 * n>(m), -30.0, 20.0)};
    }
    [[nodiscard]] Posterior posterior(const Images& images) const {
        return posterior(moments(images, [](std::string_view, const auto&) {}));
    }
    /// Images of latents as the posterior has them: [batch, channels, h, w] → [batch, 3,
    /// factor·h, factor·w], about [−1, 1].
    template <class Observer>
    [[nodiscard]] Images decode_unscaled(const Latents& latents, Observer&& observe) const {
        return decoder(post_quant_conv(latents), observe);
    }
    [[nodiscard]] Images decode_unscaled(const Latents& latents) const {
        return decode_unscaled(latents, [](std::string_view, const auto&) {});
    }

    /// Latents of unit variance, as FAR learns and generates them: the posterior's mean, or a sample of it by noise.
    [[nodiscard]] Latents encode(const Images& images) const { return C::latent_scale * posterior(images).mean; }
    [[nodiscard]] Latents encode(const Images& images, const Latents& noise) const {
        return C::latent_scale * posterior(images).sample(noise);
    }
    [[nodiscard]] Latents encode(const Image& image) const { return encode(to_tensor<Images>(image)); }
    /// Images of latents of unit variance, [batch, 3, factor·h, factor·w],
    /// clipped to [−1, 1].
    [[nodiscard]] Images decode(const Latents& latents) const {
        return clamp(decode_unscaled(latents / C::latent_scale), -1.0, 1.0);
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static Vae random(std::uint64_t seed) {
        Vae model;
        model.initialize(seed);
        return model;
    }
    /// Fresh parameters by PyTorch's defaults (with this library's random numbers).
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("encoder", self.encoder);
        v("decoder", self.decoder);
        v("quant_conv", self.quant_conv);
        v("post_quant_conv", self.post_quant_conv);
    }
};

}  // namespace flowfar
