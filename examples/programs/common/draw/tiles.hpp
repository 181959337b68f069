#pragma once

// Photos of any size for a model of one size: cut into tiles, and put together again.

#include <algorithm>
#include <string_view>
#include <vector>

#include "flowfar/io/images/image_transform.hpp"

#include "common/draw/canvas.hpp"

namespace flowfar::program {

/// The middle of the image whose sides are the largest multiples of a tile's.
[[nodiscard]] inline Image crop_to_tiles(const Image& image, int height, int width) {
    require(image.height >= height && image.width >= width, "an image of ", image.height, " x ", image.width,
            " pixels holds no tile of ", height, " x ", width);
    return io::center_crop(image, image.height / height * height, image.width / width * width);
}

/// Tiles of height x width pixels in raster order; they must fill the image exactly.
[[nodiscard]] inline std::vector<Image> cut_tiles(const Image& image, int height, int width) {
    require(image.height % height == 0 && image.width % width == 0, "tiles of ", height, " x ", width,
            " pixels do not fill ", image.height, " x ", image.width);
    std::vector<Image> tiles;
    for (int top = 0; top < image.height; top += height) {
        for (int left = 0; left < image.width; left += width) {
            tiles.push_back(io::crop(image, top, left, height, width));
        }
    }
    return tiles;
}

/// The image of height x width pixels that cut_tiles took apart.
[[nodiscard]] inline Image join_tiles(const std::vector<Image>& tiles, int height, int width) {
    Canvas canvas(height, width);
    int top = 0;
    int left = 0;
    for (const Image& tile : tiles) {
        canvas.blit(tile, top, left);
        left += tile.width;
        if (left >= width) {
            left = 0;
            top += tile.height;
        }
    }
    return canvas.take();
}

}  // namespace flowfar::program
