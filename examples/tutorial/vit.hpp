#pragma once

// The network of 08_own_network: patches of 4 x 4 pixels as tokens, blocks of attention, the mean of what they say.

#include <flowfar/nn.hpp>

template <class B, flowfar::Index Width, flowfar::Index Heads, int Depth>
struct Vit {
    using Backend = B;  // a model names its backend and lists its parameters in `visit`
    using Images = flowfar::Tensor<B, flowfar::Shape<flowfar::dyn, 3, 32, 32>>;
    using Scores = flowfar::Tensor<B, flowfar::Shape<flowfar::dyn, 10>>;
    static constexpr flowfar::Index patch = 4, side = 32 / patch, tokens = side * side;
    using Positions = flowfar::Tensor<B, flowfar::Shape<1, tokens, Width>>;

    flowfar::Linear<B, 3 * patch * patch, Width> patch_embed;
    Positions positions = flowfar::make_parameter<Positions>();
    std::vector<flowfar::VitBlock<B, Width, Heads>> blocks =
        flowfar::make_blocks<flowfar::VitBlock<B, Width, Heads>>(Depth);
    flowfar::LayerNorm<B, Width> norm;
    flowfar::Linear<B, Width, 10> head;

    /// The scores of ten classes.
    Scores operator()(const Images& images) const {
        using flowfar::dyn;
        const flowfar::Index n = images.extent(0);
        const auto grid = flowfar::reshape<dyn, 3, side, patch, side, patch>(images, n);
        const auto patches = flowfar::permute<0, 2, 4, 1, 3, 5>(grid);  // [n, row, column, channel, y, x]
        flowfar::Tensor<B, flowfar::Shape<dyn, dyn, Width>> x =
            patch_embed(flowfar::reshape<dyn, tokens, 3 * patch * patch>(patches, n)) + positions;
        for (const auto& block : blocks) {
            x = block(x);
        }
        return head(flowfar::mean<1>(norm(x), flowfar::drop_axis));
    }
    void initialize(std::uint64_t seed) {
        patch_embed.initialize(flowfar::fold(seed, "patch_embed"));
        flowfar::init::normal(positions, 0.02, flowfar::fold(seed, "positions"));
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            blocks[i].initialize(flowfar::fold(seed, i));
        }
        norm.initialize(seed);
        head.initialize(flowfar::fold(seed, "head"));
    }
    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& v) {
        v("patch_embed", self.patch_embed);
        v("positions", self.positions);
        v("blocks", self.blocks);
        v("norm", self.norm);
        v("head", self.head);
    }
};
