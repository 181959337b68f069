#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "flowfar/autoregressive/sample.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"

namespace flowfar {

/// MAR as a paradigm (autoregressive/sample.hpp): arXiv 2406.11838, section 3.3. Every step draws a set of tokens at
/// random places, and the sets grow as a cosine. With more iterations than tokens some sets are empty; their steps are
/// left out, their draws, too.
template <class M>
class MarParadigm {
   public:
    using Model = M;
    using Draws = TokenSampleDraws<Model>;
    using Tokens = typename Model::Tokens;
    using Latents = typename Model::Latents;
    using Rows = typename Model::Head::Rows;

    explicit MarParadigm(TokenSampleOptions& options) {
        detail::refuse_far_options(options, "MAR");
        options.iterations = options.iterations.value_or(Model::Config::sampling.iterations);
        steps_ = *options.iterations;
        require(steps_ >= 1, "iterations: expected at least 1, found ", steps_);
    }
    [[nodiscard]] int steps() const { return steps_; }

    class Run {
       public:
        template <class D>
        Run(const MarParadigm& mar, const Model& model, typename Model::Request request, const D& draws,
            bool /*guided*/)
            : mar_(mar),
              model_(model),
              given_(model.conditioning(request)),
              orders_(draws.orders()),
              mask_(orders_, Model::tokens, Model::tokens),
              next_(mask_) {
            const Index batch = Model::count(request);
            input_ = Tokens::zeros(batch);
            tokens_ = input_;
            estimate_ = Latents::zeros(batch);
        }
        /// The tokens that are hidden before step k but not after it; the last step draws all that are left.
        [[nodiscard]] Index drawn(int k) const { return mask_.hidden() - hidden_next(k); }
        [[nodiscard]] Share share(int k) const { return {Model::tokens - clamped(k), Model::tokens}; }
        [[nodiscard]] auto conditions(int k, bool two) {
            next_ = TokenMask(orders_, Model::tokens, hidden_next(k));
            const Tokens x = two ? Tokens(concat<0>(input_, input_)) : input_;
            const TokenMask hidden = two ? mask_.doubled() : mask_;
            const auto z = Model::flatten(model_.conditions(two ? given_.both : given_.with, x, &hidden));
            PoolVector<Index> rows = drawn_rows();
            const std::size_t count = rows.size();
            for (std::size_t i = 0; two && i < count; ++i) {
                rows.push_back(rows[i] + mask_.batch() * Model::tokens);
            }
            return gather_rows(z, integers(rows));
        }
        [[nodiscard]] typename Model::Head::Scalars index(int /*k*/) const { return {}; }
        template <class D>
        [[nodiscard]] Rows noise(const D& draws, int k, int draw) const {
            return draws.noise(k, draw, drawn(k));
        }
        void accept(int /*k*/, const Rows& rows) {
            const auto all = concat<0>(Model::flatten(tokens_), rows);
            const Index known = mask_.batch() * Model::tokens;
            PoolVector<Index> from;
            for (Index row = 0; row < known; ++row) {
                from.push_back(row);
            }
            Index next = known;
            for (const Index row : drawn_rows()) {
                from[static_cast<std::size_t>(row)] = next++;
            }
            tokens_ = reshape<typename Tokens::Shape>(gather_rows(all, integers(from)), mask_.batch());
            estimate_ = Model::unpatchify(tokens_);
        }
        void advance(int /*k*/) {
            input_ = tokens_;
            mask_ = next_;
        }
        [[nodiscard]] static Index level(int /*k*/) { return 0; }
        [[nodiscard]] const Tokens& input() const { return input_; }
        [[nodiscard]] const TokenMask* mask() const { return &mask_; }
        [[nodiscard]] const Latents& estimate() const { return estimate_; }

       private:
        /// The published count of tokens that stay hidden after step k, which is never 0, not even in the last step.
        [[nodiscard]] Index clamped(int k) const {
            const double way = cx::pi / 2.0 * (k + 1) / mar_.steps_;
            const auto wanted = static_cast<Index>(std::floor(static_cast<double>(Model::tokens) * std::cos(way)));
            return std::max<Index>(1, std::min(mask_.hidden() - 1, wanted));
        }
        [[nodiscard]] Index hidden_next(int k) const { return k + 1 == mar_.steps_ ? 0 : clamped(k); }
        /// Rows of the flattened tokens that this step draws, in raster order.
        [[nodiscard]] PoolVector<Index> drawn_rows() const {
            PoolVector<Index> rows;
            for (std::size_t i = 0; i < mask_.flags().size(); ++i) {
                if (mask_.flags()[i] != 0 && next_.flags()[i] == 0) {
                    rows.push_back(static_cast<Index>(i));
                }
            }
            return rows;
        }
        [[nodiscard]] static auto integers(const PoolVector<Index>& rows) {
            return Model::Integers::from_host(rows, {static_cast<Index>(rows.size())});
        }

        const MarParadigm& mar_;
        const Model& model_;
        typename Model::Conditioning given_;
        std::vector<Index> orders_;
        TokenMask mask_;  // before the step
        TokenMask next_;  // after it
        Tokens input_;
        Tokens tokens_;
        Latents estimate_;
    };

   private:
    int steps_ = 1;
};

/// Generates latents with MAR.
template <class Model>
using MarSampler = TokenSampler<MarParadigm<Model>>;

}  // namespace flowfar
