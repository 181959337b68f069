#pragma once

#include <cstddef>
#include <type_traits>

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/nn/vit_block.hpp"

namespace flowfar {

/// Training-only behavior of the transformer.
struct BlockRun {
    BlockDropout dropout;
    bool checkpoint_blocks = false;  ///< recompute blocks in the backward pass to save memory

    /// Calls `block(x, dropout of block `number`)`, to be computed again in the backward pass if that is asked for.
    template <AnyTensor X, class Block>
    [[nodiscard]] X operator()(const X& x, std::size_t number, Block&& block) const {
        const BlockDropout rates = dropout.at(number);
        if (!checkpoint_blocks || !is_autodiff<typename X::Backend>) {
            return block(x, rates);
        }
        return checkpoint([block, rates](const X& in) { return block(in, rates); }, x);
    }
};

}  // namespace flowfar
