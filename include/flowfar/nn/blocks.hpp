#pragma once

#include <vector>

#include "flowfar/core/dtype.hpp"

namespace flowfar {

/// `depth` modules, built one by one: copies of one would share its parameters.
template <class Block>
[[nodiscard]] std::vector<Block> make_blocks(Index depth) {
    std::vector<Block> blocks;
    blocks.reserve(static_cast<std::size_t>(depth));
    for (Index i = 0; i < depth; ++i) {
        blocks.emplace_back();
    }
    return blocks;
}

}  // namespace flowfar
