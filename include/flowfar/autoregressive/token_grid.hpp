#pragma once

#include "flowfar/autoregressive/config.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// Latents as tokens: patches of p×p pixels in raster order. `Config` is a CheckedTokenConfig.
template <class Config, class B, class T>
struct TokenGrid {
    using Backend = B;
    using Element = T;
    static constexpr Index tokens = Config::tokens;
    static constexpr Index token_dim = Config::token_dim;
    using Latents = Tensor<B, Shape<dyn, Config::channels, Config::height, Config::width>, T>;
    using Tokens = Tensor<B, Shape<dyn, tokens, token_dim>, T>;

    /// [batch, channels, height, width] → [batch, tokens, channels·p²]; within a token: channel, row, column.
    [[nodiscard]] static Tokens patchify(const Latents& x) {
        constexpr Index p = Config::patch;
        const Index batch = x.extent(0);
        const auto six = reshape<dyn, Config::channels, Config::rows, p, Config::columns, p>(x, batch);
        return reshape<dyn, tokens, token_dim>(permute<0, 2, 4, 1, 3, 5>(six), batch);
    }
    [[nodiscard]] static Latents unpatchify(const Tokens& x) {
        constexpr Index p = Config::patch;
        const Index batch = x.extent(0);
        const auto six = reshape<dyn, Config::rows, Config::columns, Config::channels, p, p>(x, batch);
        return reshape<typename Latents::Shape>(permute<0, 3, 1, 4, 2, 5>(six), batch);
    }
    /// [batch, tokens, C] → [batch·tokens, C]: rows ordered (sample, token).
    template <AnyTensor X>
    [[nodiscard]] static auto flatten(const X& x) {
        return reshape<dyn, X::Shape::at(2)>(x, x.extent(0) * x.extent(1));
    }
};

}  // namespace flowfar
