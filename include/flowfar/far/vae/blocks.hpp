#pragma once

#include <cmath>
#include <type_traits>

#include "flowfar/core/rearrange.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/conv.hpp"

namespace flowfar {

namespace detail {

/// Stands for a module that a configuration does not have.
struct Absent {};

}  // namespace detail

/// x + conv(silu(norm(conv(silu(norm(x)))))): the residual block of latent diffusion's autoencoders, 3×3 convolutions;
/// a 1×1 convolution adapts x where the number of channels changes.
template <class B, Index In, Index Out, Index Groups, class T = float>
struct ResnetBlock {
    using Backend = B;
    static constexpr bool adapts = In != Out;

    GroupNorm<B, In, Groups, T> norm1;
    Conv2d<B, In, Out, 3, T> conv1;
    GroupNorm<B, Out, Groups, T> norm2;
    Conv2d<B, Out, Out, 3, T> conv2;
    std::conditional_t<adapts, Conv2d<B, In, Out, 1, T>, detail::Absent> shortcut;

    [[nodiscard]] FeatureMap<B, Out, T> operator()(const FeatureMap<B, In, T>& x) const {
        const auto y = conv2(norm2.activated(conv1(norm1.activated(x))));
        if constexpr (adapts) {
            return shortcut(x) + y;
        } else {
            return x + y;
        }
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("norm1", self.norm1);
        v("conv1", self.conv1);
        v("norm2", self.norm2);
        v("conv2", self.conv2);
        if constexpr (adapts) {
            v("nin_shortcut", self.shortcut);
        }
    }
};

/// Attention among all pixels with one head as wide as the channels, added to the input.
template <class B, Index Channels, Index Groups, class T = float>
struct PixelAttention {
    using Backend = B;
    using Map = FeatureMap<B, Channels, T>;
    using Projection = Conv2d<B, Channels, Channels, 1, T>;

    GroupNorm<B, Channels, Groups, T> norm;
    Projection q;
    Projection k;
    Projection v;
    Projection proj_out;

    [[nodiscard]] Map operator()(const Map& x) const {
        const Map n = norm(x);
        const double scale = 1.0 / std::sqrt(static_cast<double>(Channels));
        const auto seen = permute<0, 1, 3, 2>(attention(pixels(q(n)), pixels(k(n)), pixels(v(n)), scale));
        return x + proj_out(reshape<typename Map::Shape>(seen, x.extents()));
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("norm", self.norm);
        v("q", self.q);
        v("k", self.k);
        v("v", self.v);
        v("proj_out", self.proj_out);
    }

   private:
    /// [batch, channels, height, width] → [batch, 1, pixels, channels].
    [[nodiscard]] static auto pixels(const Map& x) {
        const Extents rows{x.extent(0), 1, Channels, x.extent(2) * x.extent(3)};
        return permute<0, 1, 3, 2>(reshape<Shape<dyn, 1, Channels, dyn>>(x, rows));
    }
};

/// Halves the image: a 3×3 convolution with stride 2 that pads one row below and one column on the right.
template <class B, Index Channels, class T = float>
struct Downsample {
    using Backend = B;
    Conv2d<B, Channels, Channels, 3, T> conv{.options = {2, 0, 0, 1, 1}};

    [[nodiscard]] auto operator()(const FeatureMap<B, Channels, T>& x) const { return conv(x); }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv", self.conv);
    }
};

/// Doubles the image: every pixel four times, then a 3×3 convolution.
template <class B, Index Channels, class T = float>
struct Upsample {
    using Backend = B;
    Conv2d<B, Channels, Channels, 3, T> conv;

    [[nodiscard]] auto operator()(const FeatureMap<B, Channels, T>& x) const { return conv(upsample_nearest2(x)); }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv", self.conv);
    }
};

}  // namespace flowfar
