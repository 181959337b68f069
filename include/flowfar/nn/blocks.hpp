#pragma once

#include <string_view>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/philox.hpp"

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

namespace detail {

/// Gives fresh parameters to all modules that `visit` names.
template <class Module>
void initialize_members(Module& module, std::uint64_t seed) {
    Module::visit(module, [&](std::string_view name, auto& member) { member.initialize(fold(seed, name)); });
}

}  // namespace detail

}  // namespace flowfar
