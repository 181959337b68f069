#pragma once

#include <cstddef>
#include <span>

#include "flowfar/core/images/resize.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// A latent of N×N as scales of p×p values, p ≤ N rising to N; down by area, up by bicubic interpolation (a = −0.75).
/// `Residual`: each scale is what the sum of those before it lacks. Otherwise each is the latent itself, made smaller.
/// `Latents` is [batch, channels, N, N], `Maps` [batch, channels, p, p], `Tokens` [batch, p², channels].
template <class Model, bool Residual>
class VarPyramid {
   public:
    using Latents = typename Model::Latents;
    using Maps = WithShape<Latents, Shape<dyn, Latents::Shape::at(1), dyn, dyn>>;
    using Tokens = typename Model::Inputs;
    static constexpr Index side = Latents::Shape::at(3);

    /// Tokens of a map, in raster order, and back.
    [[nodiscard]] static Tokens tokens(const Maps& map) {
        constexpr Index channels = Latents::Shape::at(1);
        return reshape<dyn, dyn, channels>(permute<0, 2, 3, 1>(map), map.extent(0), map.extent(2) * map.extent(3));
    }
    [[nodiscard]] static Maps map(const Tokens& x, Index p) {
        constexpr Index channels = Latents::Shape::at(1);
        return permute<0, 3, 1, 2>(reshape<dyn, dyn, dyn, channels>(x, x.extent(0), p, p));
    }

    /// The estimate of the latent before any scale: zeros.
    [[nodiscard]] static Latents begin(Index batch) { return Latents::zeros(batch); }
    /// The map [batch, channels, p, p] that is to be predicted where `estimate` is known.
    [[nodiscard]] static Maps target(const Latents& latents, const Latents& estimate, Index p) {
        if constexpr (Residual) {
            return Maps(resize(latents - estimate, p, p, Resize::area));
        } else {
            return Maps(resize(latents, p, p, Resize::area));
        }
    }
    /// The estimate once a scale's map is known, too.
    [[nodiscard]] static Latents with(const Latents& estimate, const Maps& scale) {
        const auto full = resize(scale, side, side, Resize::bicubic);
        if constexpr (Residual) {
            return Latents(estimate + full);
        } else {
            return Latents(full);
        }
    }
    /// What the transformer reads before it predicts the scale of p×p: what is known, in that size. `scale` is the last
    /// one's map.
    [[nodiscard]] static Maps input(const Latents& estimate, const Maps& scale, Index p) {
        if constexpr (Residual) {
            return Maps(resize(estimate, p, p, Resize::area));
        } else {
            return Maps(resize(scale, p, p, Resize::bicubic));
        }
    }

    /// Targets and inputs of all scales, [batch, all tokens, channels] each; the first scale's inputs are zeros.
    struct Scales {
        Tokens targets;
        Tokens inputs;
    };
    [[nodiscard]] static Scales of(const Latents& latents, std::span<const Index> sides) {
        const Index batch = latents.extent(0);
        PoolVector<typename Latents::Handle> targets;
        PoolVector<typename Latents::Handle> inputs;
        Latents estimate = begin(batch);
        Maps last;
        for (const Index p : sides) {
            inputs.push_back(last.defined() ? tokens(input(estimate, last, p)).handle()
                                            : Tokens::zeros({batch, p * p, Latents::Shape::at(1)}).handle());
            last = target(latents, estimate, p);
            targets.push_back(tokens(last).handle());
            estimate = with(estimate, last);
        }
        using B = typename Latents::Backend;
        return {Tokens(B::concat(std::span<const typename B::Handle>(targets), 1)),
                Tokens(B::concat(std::span<const typename B::Handle>(inputs), 1))};
    }
};

}  // namespace flowfar
