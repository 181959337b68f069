#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>
#include <vector>

#include "flowfar/core/images/image.hpp"
#include "flowfar/core/shape.hpp"

namespace flowfar {

/// Pixels from (top, left) on.
struct PixelRect {
    Index top = 0;
    Index left = 0;
    Index height = 0;
    Index width = 0;

    friend bool operator==(const PixelRect&, const PixelRect&) = default;
};

/// One axis of a grid: tiles of equal length spread evenly from one end of the picture to the other, so that neighbors
/// share at least `overlap` pixels. A picture shorter than a tile has one, which reaches beyond it.
struct TileAxis {
    Index length = 0;  ///< of the picture, in pixels
    Index tile = 0;
    Index count = 0;

    TileAxis() = default;
    /// Throws `Error` unless length ≥ 1 and 0 ≤ overlap < tile.
    TileAxis(Index picture, Index tile_length, Index overlap) : length(picture), tile(tile_length) {
        require(length >= 1 && length <= max_image_extent && tile >= 1, "tiles: a side of ", length,
                " pixels in tiles of ", tile);
        require(overlap >= 0 && overlap < tile, "tiles: expected an overlap from 0 to ", tile - 1,
                " pixels (tiles have ", tile, "), found ", overlap);
        const Index stride = tile - overlap;
        count = length <= tile ? 1 : 1 + (length - tile + stride - 1) / stride;
    }

    /// First pixel of tile i.
    [[nodiscard]] Index begin(Index i) const {
        return count == 1 ? 0 : (i * (length - tile) + (count - 1) / 2) / (count - 1);
    }
    /// Weights of tile i over its pixels: rises like a cosine where it shares pixels with others, and with the weights
    /// of all tiles there they sum to 1.
    [[nodiscard]] std::vector<float> weights(Index i) const {
        std::vector<float> out(static_cast<std::size_t>(tile));
        for (Index p = 0; p < tile; ++p) {
            const Index x = begin(i) + p;
            double sum = ramp(i, p);
            for (Index j = i - 1; j >= 0 && x < begin(j) + tile; --j) {
                sum += ramp(j, x - begin(j));
            }
            for (Index j = i + 1; j < count && begin(j) <= x; ++j) {
                sum += ramp(j, x - begin(j));
            }
            out[static_cast<std::size_t>(p)] = static_cast<float>(ramp(i, p) / sum);
        }
        return out;
    }
    /// Whether tile i has pixels of [first, last).
    [[nodiscard]] bool touches(Index i, Index first, Index last) const {
        return begin(i) < last && first < begin(i) + tile;
    }

   private:
    /// Weight of tile i at its pixel p before normalization; 0 outside the tile.
    [[nodiscard]] double ramp(Index i, Index p) const {
        if (p < 0 || p >= tile) {
            return 0.0;
        }
        const auto rise = [](Index from_edge, Index shared) {
            const double way = (static_cast<double>(from_edge) + 0.5) / static_cast<double>(shared);
            return shared > 0 && way < 1.0 ? 0.5 - 0.5 * std::cos(std::numbers::pi * way) : 1.0;
        };
        const double left = i > 0 ? rise(p, begin(i - 1) + tile - begin(i)) : 1.0;
        const double right = i + 1 < count ? rise(tile - 1 - p, begin(i) + tile - begin(i + 1)) : 1.0;
        return left * right;
    }
};

/// How a picture of any size is covered by tiles of a model's size, in raster order. Picture, tile and overlap say
/// everything, so a token file need not list the tiles.
struct TileGrid {
    TileAxis down;
    TileAxis across;
    Index overlap = 0;  ///< pixels that neighbors share at least

    TileGrid() = default;
    TileGrid(Index height, Index width, Index tile_height, Index tile_width, Index shared)
        : down(height, tile_height, shared), across(width, tile_width, shared), overlap(shared) {
        check_image_size(static_cast<std::uint64_t>(height), static_cast<std::uint64_t>(width), "tiles");
    }

    [[nodiscard]] Index count() const { return down.count * across.count; }
    [[nodiscard]] PixelRect tile(Index i) const {
        return {down.begin(i / across.count), across.begin(i % across.count), down.tile, across.tile};
    }
    /// The picture itself.
    [[nodiscard]] PixelRect picture() const { return {0, 0, down.length, across.length}; }
    /// The tiles that hold pixels of a region, in raster order.
    [[nodiscard]] std::vector<Index> tiles_of(const PixelRect& region) const {
        check_region(region);
        std::vector<Index> tiles;
        for (Index i = 0; i < count(); ++i) {
            if (down.touches(i / across.count, region.top, region.top + region.height) &&
                across.touches(i % across.count, region.left, region.left + region.width)) {
                tiles.push_back(i);
            }
        }
        return tiles;
    }
    /// Throws `Error` unless the region has pixels and lies in the picture.
    void check_region(const PixelRect& r) const {
        require(r.top >= 0 && r.left >= 0 && r.height >= 1 && r.width >= 1 && r.height <= down.length - r.top &&
                    r.width <= across.length - r.left,
                "tiles: expected a region inside ", down.length, " x ", across.length, " pixels, found ", r.height,
                " x ", r.width, " at (", r.top, ", ", r.left, ")");
    }
};

/// Tile i of a picture. Where it reaches beyond the picture, the last row and column go on.
[[nodiscard]] inline Image cut_tile(const Image& picture, const TileGrid& grid, Index i) {
    check_image(picture, "tiles");
    require(picture.height == grid.down.length && picture.width == grid.across.length, "tiles: expected a picture of ",
            grid.down.length, " x ", grid.across.length, " pixels, found ", picture.height, " x ", picture.width);
    const PixelRect at = grid.tile(i);
    Image tile = make_image(static_cast<int>(at.height), static_cast<int>(at.width));
    for (Index row = 0; row < at.height; ++row) {
        const Index y = std::min<Index>(at.top + row, picture.height - 1);
        for (Index column = 0; column < at.width; ++column) {
            const Index x = std::min<Index>(at.left + column, picture.width - 1);
            std::copy_n(picture.pixels.begin() + (y * picture.width + x) * 3, 3,
                        tile.pixels.begin() + (row * at.width + column) * 3);
        }
    }
    return tile;
}

/// What a callback sees after a sampling step of a picture in tiles.
struct TiledStep {
    int step;  ///< 1 … steps
    int steps;
    double time;            ///< after the step; 0 at the end
    const Image& estimate;  ///< the picture if sampling stopped here
};

}  // namespace flowfar
