#pragma once

/// Photos of any size for a model of one size: cut into tiles, and put together again.
///
///     const Image whole = io::crop_to_tiles(photo, 32, 32);   // the middle that tiles of 32 x 32 pixels fill
///     const Tokens tokens = model.encode(to_tensor<Model::Images>(io::cut_tiles(whole, 32, 32)));
///     const Image again = io::join_tiles(to_images(model.decode(tokens)), whole.height, whole.width);

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/images/image_transform.hpp"

namespace flowfar::io {

/// The middle of the image whose sides are the largest multiples of a tile's.
[[nodiscard]] inline Image crop_to_tiles(const Image& image, int height, int width) {
    require(height > 0 && width > 0 && image.height >= height && image.width >= width, "an image of ", image.height,
            " x ", image.width, " pixels holds no tile of ", height, " x ", width);
    return center_crop(image, image.height / height * height, image.width / width * width);
}

/// Tiles of height x width pixels in raster order; they must fill the image exactly.
[[nodiscard]] inline std::vector<Image> cut_tiles(const Image& image, int height, int width) {
    require(height > 0 && width > 0 && image.height % height == 0 && image.width % width == 0, "tiles of ", height,
            " x ", width, " pixels do not fill ", image.height, " x ", image.width);
    std::vector<Image> tiles;
    for (int top = 0; top < image.height; top += height) {
        for (int left = 0; left < image.width; left += width) {
            tiles.push_back(crop(image, top, left, height, width));
        }
    }
    return tiles;
}

namespace detail {

/// Copies rows of tiles to where they belong in `planes` images of height x width, one after the other: tiles
/// [tiles, planes, tile_height, tile_width] → [planes, height, width].
template <class T>
[[nodiscard]] std::vector<T> joined(std::span<const T> tiles, std::size_t planes, std::size_t tile_height,
                                    std::size_t tile_width, std::size_t height, std::size_t width) {
    require(tile_height > 0 && tile_width > 0 && height % tile_height == 0 && width % tile_width == 0 &&
                tiles.size() == planes * height * width,
            "tiles: ", tiles.size(), " values in tiles of ", tile_height, " x ", tile_width, " do not make ", planes,
            " x ", height, " x ", width);
    std::vector<T> out(tiles.size());
    for (std::size_t i = 0; i < tiles.size(); i += tile_width) {  // row by row of a tile
        const std::size_t row = i / tile_width % tile_height;
        const std::size_t plane = i / (tile_width * tile_height) % planes;
        const std::size_t tile = i / (planes * tile_width * tile_height);
        const std::size_t top = tile / (width / tile_width) * tile_height;
        const std::size_t left = tile % (width / tile_width) * tile_width;
        std::copy_n(tiles.begin() + static_cast<std::ptrdiff_t>(i), tile_width,
                    out.begin() + static_cast<std::ptrdiff_t>((plane * height + top + row) * width + left));
    }
    return out;
}

}  // namespace detail

/// The image of height x width pixels that `cut_tiles` took apart.
[[nodiscard]] inline Image join_tiles(std::span<const Image> tiles, int height, int width) {
    require(!tiles.empty(), "join_tiles: no tiles");
    std::vector<std::uint8_t> pixels;
    for (const Image& tile : tiles) {
        require(tile.height == tiles[0].height && tile.width == tiles[0].width, "join_tiles: expected tiles of ",
                tiles[0].height, " x ", tiles[0].width, " pixels like the first, found ", tile.height, " x ",
                tile.width);
        pixels.insert(pixels.end(), tile.pixels.begin(), tile.pixels.end());
    }
    Image image = make_image(height, width);
    image.pixels =
        detail::joined<std::uint8_t>(  // the colors of a pixel lie side by side, as a plane of thrice the width
            pixels, 1, static_cast<std::size_t>(tiles[0].height), 3 * static_cast<std::size_t>(tiles[0].width),
            static_cast<std::size_t>(height), 3 * static_cast<std::size_t>(width));
    return image;
}

/// The planes [3, height, width] of an image that was cut into tiles, planes [tiles, 3, tile_height, tile_width].
[[nodiscard]] inline std::vector<float> join_tile_planes(std::span<const float> tiles, int tile_height, int tile_width,
                                                         int height, int width) {
    return detail::joined<float>(tiles, 3, static_cast<std::size_t>(tile_height), static_cast<std::size_t>(tile_width),
                                 static_cast<std::size_t>(height), static_cast<std::size_t>(width));
}

}  // namespace flowfar::io
