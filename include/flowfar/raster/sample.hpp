#pragma once

#include "flowfar/autoregressive/causal_model.hpp"
#include "flowfar/autoregressive/sample.hpp"

namespace flowfar {

/// Raster autoregression as a paradigm (autoregressive/sample.hpp): one token after another. Keys and values of earlier
/// positions are kept.
template <class M>
class RasterParadigm {
   public:
    using Model = M;
    using Draws = TokenSampleDraws<Model>;
    using Tokens = typename Model::Tokens;
    using Latents = typename Model::Latents;
    using Rows = typename Model::Head::Rows;

    explicit RasterParadigm(TokenSampleOptions& options) {
        detail::refuse_far_options(options, "raster autoregression");
        detail::refuse_mar_options(options, "raster autoregression");
    }
    [[nodiscard]] static int steps() { return static_cast<int>(Model::tokens); }

    class Run {
       public:
        template <class D>
        Run(const RasterParadigm& /*raster*/, const Model& model, typename Model::Request request, const D& /*draws*/,
            bool guided)
            : transformer_(model, request, guided, MaskKind::causal),
              input_(Tokens::zeros(transformer_.batch())),
              tokens_(input_),
              estimate_(Latents::zeros(transformer_.batch())) {}
        [[nodiscard]] static Index drawn(int /*k*/) { return 1; }
        [[nodiscard]] static Share share(int k) { return {k + 1, Model::tokens}; }
        [[nodiscard]] auto conditions(int k, bool two) const { return transformer_.conditions(k, 1, two); }
        [[nodiscard]] typename Model::Head::Scalars index(int /*k*/) const { return {}; }
        template <class D>
        [[nodiscard]] Rows noise(const D& draws, int k, int draw) const {
            return draws.noise(k, draw, Index{1});
        }
        void accept(int k, const Rows& rows) {
            using Some = typename Model::Inputs;
            const Some token = reshape<dyn, 1, Model::token_dim>(rows, rows.extent(0));
            tokens_ =
                Tokens(concat<1>(Some(slice<1>(tokens_, 0, k)), token, Some(slice<1>(tokens_, k + 1, Model::tokens))));
            estimate_ = Model::unpatchify(tokens_);
        }
        void advance(int k) {
            transformer_.read(typename Model::Inputs(slice<1>(tokens_, k, k + 1)), k, MaskKind::causal);
            input_ = tokens_;
        }
        [[nodiscard]] static Index level(int /*k*/) { return 0; }
        [[nodiscard]] const Tokens& input() const { return input_; }
        [[nodiscard]] static const TokenMask* mask() { return nullptr; }
        [[nodiscard]] const Latents& estimate() const { return estimate_; }

       private:
        CausalRun<Model> transformer_;
        Tokens input_;
        Tokens tokens_;
        Latents estimate_;
    };
};

/// Generates latents token by token.
template <class Model>
using RasterSampler = TokenSampler<RasterParadigm<Model>>;

}  // namespace flowfar
