#pragma once

// Tiles as planes of floats: what tiles.hpp does with 8-bit images.

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar::program {

/// The planes [3, height, width] of an image that was cut into tiles, planes [tiles, 3, tile_height, tile_width].
[[nodiscard]] inline std::vector<float> join_tile_planes(std::span<const float> tiles, int tile_height, int tile_width,
                                                         int height, int width) {
    const auto th = static_cast<std::size_t>(tile_height), tw = static_cast<std::size_t>(tile_width);
    const auto h = static_cast<std::size_t>(height), w = static_cast<std::size_t>(width);
    require(th > 0 && tw > 0 && h % th == 0 && w % tw == 0 && tiles.size() == 3 * h * w, "tiles: ", tiles.size(),
            " values in tiles of ", th, " x ", tw, " do not make 3 x ", h, " x ", w);
    std::vector<float> out(3 * h * w);
    for (std::size_t i = 0; i < tiles.size(); i += tw) {  // row by row of a tile
        const std::size_t row = i / tw % th, channel = i / (tw * th) % 3, tile = i / (3 * tw * th);
        const std::size_t top = tile / (w / tw) * th, left = tile % (w / tw) * tw;
        std::copy_n(tiles.begin() + static_cast<std::ptrdiff_t>(i), tw,
                    out.begin() + static_cast<std::ptrdiff_t>((channel * h + top + row) * w + left));
    }
    return out;
}

}  // namespace flowfar::program
