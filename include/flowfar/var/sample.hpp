#pragma once

#include <cstddef>

#include "flowfar/autoregressive/causal_model.hpp"
#include "flowfar/autoregressive/sample.hpp"

namespace flowfar {

/// Next-scale prediction as a paradigm (autoregressive/sample.hpp): all tokens of a scale at once, from the smallest to
/// the largest. Keys and values of earlier scales are kept.
template <class M>
class VarParadigm {
   public:
    using Model = M;
    using Draws = TokenSampleDraws<Model>;
    using Config = typename Model::Config;
    using Pyramid = typename Model::Pyramid;
    using Tokens = typename Model::Tokens;
    using Latents = typename Model::Latents;
    using Rows = typename Model::Head::Rows;

    explicit VarParadigm(TokenSampleOptions& options) {
        detail::refuse_far_options(options, "VAR");
        detail::refuse_mar_options(options, "VAR");
    }
    [[nodiscard]] static int steps() { return static_cast<int>(Config::scales.size()); }

    class Run {
       public:
        template <class D>
        Run(const VarParadigm& /*var*/, const Model& model, typename Model::Request request, const D& /*draws*/,
            bool guided)
            : transformer_(model, request, guided, MaskKind::full), estimate_(Pyramid::begin(transformer_.batch())) {
            read(Tokens::zeros({transformer_.batch(), drawn(0), Model::token_dim}), 0);
        }
        [[nodiscard]] static Index drawn(int k) { return level(k) * level(k); }
        [[nodiscard]] static Share share(int k) { return {k, steps()}; }
        [[nodiscard]] auto conditions(int k, bool two) const {
            return transformer_.conditions(first(k), drawn(k), two);
        }
        [[nodiscard]] auto index(int k) const {
            return Model::Head::Scalars::full({1, 1}, static_cast<double>(level(k)));
        }
        template <class D>
        [[nodiscard]] Rows noise(const D& draws, int k, int draw) const {
            return draws.noise(k, draw, drawn(k));
        }
        void accept(int k, const Rows& rows) {
            scale_ = Pyramid::map(reshape<dyn, dyn, Model::token_dim>(rows, transformer_.batch(), drawn(k)), level(k));
            estimate_ = Pyramid::with(estimate_, scale_);
        }
        void advance(int k) { read(Pyramid::tokens(Pyramid::input(estimate_, scale_, level(k + 1))), k + 1); }
        [[nodiscard]] static Index level(int k) { return Config::scales[static_cast<std::size_t>(k)]; }
        [[nodiscard]] const Tokens& input() const { return input_; }
        [[nodiscard]] static const TokenMask* mask() { return nullptr; }
        [[nodiscard]] const Latents& estimate() const { return estimate_; }

       private:
        [[nodiscard]] static Index first(int k) { return Config::first(static_cast<std::size_t>(k)); }
        void read(const Tokens& x, int k) {
            input_ = x;
            transformer_.read(x, first(k), MaskKind::full);
        }

        CausalRun<Model> transformer_;
        Tokens input_;  // of the scale to draw
        typename Pyramid::Maps scale_;
        Latents estimate_;
    };
};

/// Generates latents scale by scale.
template <class Model>
using VarSampler = TokenSampler<VarParadigm<Model>>;

}  // namespace flowfar
