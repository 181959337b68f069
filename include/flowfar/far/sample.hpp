#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include "flowfar/autoregressive/sample.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/far/coherence.hpp"
#include "flowfar/far/config.hpp"
#include "flowfar/far/sample_options.hpp"

namespace flowfar {

/// The random numbers of FAR's runs: those of all paradigms, and the noise of cells.
template <class Model>
class FarSampleDraws : public TokenSampleDraws<Model> {
   public:
    using typename TokenSampleDraws<Model>::Rows;
    using TokenSampleDraws<Model>::TokenSampleDraws;

    /// Noise that the tokens of a cell share (far/coherence.hpp), N(0, 1) [batch·tokens, token_dim], of a draw at
    /// autoregressive step k. Cells are `size` × `size` tokens, and their grid begins at a place of each draw's own.
    [[nodiscard]] Rows cell_noise(int k, int draw, Index size) const {
        using B = typename Model::Backend;
        using Config = typename Model::Config;
        constexpr Index values = Model::token_dim;
        const Index down = (Config::rows + size - 1) / size + 1;  // one more: the first one may be cut
        const Index across = (Config::columns + size - 1) / size + 1;
        PoolVector<typename B::Handle> parts;
        for (const std::uint64_t seed : this->seeds_) {
            const std::uint64_t stream =
                fold(fold(fold(seed, "cells"), static_cast<std::uint64_t>(k)), static_cast<std::uint64_t>(draw));
            const auto cells = B::normal({down, 1, across, 1, values}, dtype_of<typename Model::Element>, stream, 0);
            const auto wide = B::reshape(B::contiguous(B::expand(cells, {down, size, across, size, values})),
                                         {down * size, across * size, values});
            Random place(fold(stream, "place"));
            const auto shift = [&](Index extent) {
                return size >= extent ? Index{0} : static_cast<Index>(place.below(static_cast<std::uint64_t>(size)));
            };
            const Index top = shift(Config::rows);
            const Index left = shift(Config::columns);
            const auto rows = B::slice(wide, 0, top, top + Config::rows);
            parts.push_back(
                B::reshape(B::contiguous(B::slice(rows, 1, left, left + Config::columns)), {Model::tokens, values}));
        }
        return Rows(B::concat(std::span<const typename B::Handle>(parts), 0));
    }
};

/// FAR as a paradigm (autoregressive/sample.hpp): arXiv 2503.05305, algorithm of section 3, with hidden tokens if the
/// configuration says so. All tokens are drawn in every step, at rising levels, and the next input is the result
/// low-passed.
template <class M>
class FarParadigm {
   public:
    using Model = M;
    using Draws = FarSampleDraws<Model>;
    using C = typename Model::Config;
    using T = typename Model::Element;
    using Tokens = typename Model::Tokens;
    using Latents = typename Model::Latents;
    using Rows = typename Model::Head::Rows;

    explicit FarParadigm(TokenSampleOptions& options) {
        detail::refuse_mar_options(options, "FAR");
        if (options.levels.empty()) {
            options.levels = default_levels<C>();
        }
        levels_ = options.levels;
        check_far_levels(levels_, C::level_limit, C::masked);
        filter_between_ = options.filter_between;
        prepare_coherence(options.coherence);
    }
    [[nodiscard]] int steps() const { return static_cast<int>(levels_.size()); }

    class Run {
       public:
        template <class D>
        Run(const FarParadigm& far, const Model& model, typename Model::Request request, const D& draws,
            bool /*guided*/)
            : far_(far), model_(model), given_(model.conditioning(request)) {
            const Index batch = Model::count(request);
            if constexpr (C::masked) {
                orders_ = draws.orders();
                mask_.emplace(orders_, Model::tokens, Model::tokens);
            }
            input_ = Tokens::zeros(batch);
            estimate_ = Latents::zeros(batch);
        }
        [[nodiscard]] Index drawn(int /*k*/) const { return Model::tokens; }
        [[nodiscard]] Share share(int k) const { return {k, far_.steps()}; }
        [[nodiscard]] auto conditions(int /*k*/, bool two) const {
            const Tokens x = two ? Tokens(concat<0>(input_, input_)) : input_;
            std::optional<TokenMask> doubled;
            if (mask_ && two) {
                doubled = mask_->doubled();
            }
            const TokenMask* const hidden = doubled ? &*doubled : mask();
            return Model::flatten(model_.conditions(two ? given_.both : given_.with, x, hidden));
        }
        [[nodiscard]] auto index(int k) const {
            return Model::Head::Scalars::full({1, 1}, static_cast<double>(level(k)));
        }
        template <class D>
        [[nodiscard]] Rows noise(const D& draws, int k, int draw) const {
            return far_.noise(draws, k, draw);
        }
        void accept(int /*k*/, const Rows& rows) {
            estimate_ = Model::unpatchify(reshape<typename Tokens::Shape>(rows, input_.extent(0)));
        }
        /// The result of step k low-passed, with fewer tokens hidden than before.
        void advance(int k) {
            // With hidden tokens the published sampler of classes leaves the first result, of which few tokens
            // survive, unfiltered.
            const bool filter = far_.filter_between_ && (C::sampling.filter_first || !C::masked || k > 0);
            input_ = Model::patchify(filter ? C::Filter::apply(estimate_, level(k + 1)) : estimate_);
            if constexpr (C::masked) {
                mask_.emplace(orders_, Model::tokens, hidden_after(Model::tokens, k, far_.steps()));
                input_ = mask_->visible_only(input_);
            }
        }
        [[nodiscard]] Index level(int k) const { return far_.levels_[static_cast<std::size_t>(k)]; }
        [[nodiscard]] const Tokens& input() const { return input_; }
        [[nodiscard]] const TokenMask* mask() const { return mask_ ? &*mask_ : nullptr; }
        [[nodiscard]] const Latents& estimate() const { return estimate_; }

       private:
        const FarParadigm& far_;
        const Model& model_;
        typename Model::Conditioning given_;
        std::vector<Index> orders_;
        std::optional<TokenMask> mask_;
        Tokens input_;
        Latents estimate_;
    };

   private:
    /// The share of the cells in each step's noise: the options', or from the configuration's table; 0 where a cell
    /// would be one token.
    void prepare_coherence(const std::optional<std::vector<double>>& given) {
        const std::size_t steps = levels_.size();
        shares_ = coherent_shares(given.value_or(std::vector<double>{}), steps);
        for (std::size_t k = 0; k + 1 < steps; ++k) {
            const Index next = levels_[k + 1];
            cells_.push_back(coherent_cell(next, std::min(C::rows, C::columns)));
            if (!given) {
                shares_[k] = coherent_share(C::sampling.coherence, next);
            }
            if (cells_.back() == 1) {
                shares_[k] = 0.0;
            }
        }
    }
    /// The noise of a draw at step k, N(0, 1) [batch·tokens, token_dim], coherent where the step asks for it.
    template <class D>
    [[nodiscard]] Rows noise(const D& draws, int k, int draw) const {
        const Rows own = draws.noise(k, draw);
        const double share = shares_[static_cast<std::size_t>(k)];
        if (share == 0.0) {
            return own;
        }
        if constexpr (requires { draws.cell_noise(k, draw, Index{}); }) {
            const Rows cells = draws.cell_noise(k, draw, cells_[static_cast<std::size_t>(k)]);
            return std::sqrt(share) * cells + std::sqrt(1.0 - share) * own;
        } else {
            fail("coherence: these draws have no noise of cells; pass 0");
        }
    }

    std::vector<Index> levels_;
    bool filter_between_ = true;
    std::vector<double> shares_;  // of the cells' noise, per autoregressive step
    std::vector<Index> cells_;    // tokens per side of a cell, per step but the last
};

/// Generates latents with FAR or FarText.
template <class Model>
using FarSampler = TokenSampler<FarParadigm<Model>>;

}  // namespace flowfar
