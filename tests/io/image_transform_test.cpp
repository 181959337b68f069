#include "flowfar/io/images/image_transform.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/io/images/tiles.hpp"

#include "io_support.hpp"

using flowfar::Error;
using flowfar::from_unit_planes;
using flowfar::Image;
using flowfar::make_image;
using flowfar::to_unit_planes;
using namespace flowfar::testing;
namespace io = flowfar::io;
using io::Filter;

namespace {

/// A rough image given by a formula that the recording of the expected numbers used too.
Image pattern_image(int height, int width) {
    Image image = make_image(height, width);
    std::size_t at = 0;
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            for (int c = 0; c < 3; ++c) {
                image.pixels[at++] = static_cast<std::uint8_t>((x * 37 + y * 91 + c * 53 + x * y * 17) % 256);
            }
        }
    }
    return image;
}

/// Greatest difference between all channels (or only red, if so many values are expected) and `expected`.
int worst_difference(const Image& found, const std::vector<int>& expected) {
    const std::size_t step = found.pixels.size() == expected.size() ? 1 : 3;
    REQUIRE(found.pixels.size() == expected.size() * step);
    int worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        worst = std::max(worst, std::abs(found.pixels[i * step] - expected[i]));
    }
    return worst;
}

}  // namespace

TEST_CASE("resizing agrees with Pillow 11") {
    // Recorded numbers; the filters are exact there too, so one level of freedom is for other rounding only.
    const Image small = pattern_image(7, 5);
    CHECK(worst_difference(
              io::resize(small, 4, 3, Filter::box),
              {69,  122, 175, 137, 190, 115, 141, 130, 183, 140, 129, 118, 131, 184, 109, 122, 111, 164,
               161, 86,  139, 62,  115, 168, 92,  145, 70,  118, 171, 96,  122, 175, 100, 126, 179, 104}) <= 1);
    CHECK(worst_difference(
              io::resize(small, 4, 3, Filter::bilinear),
              {67,  115, 161, 130, 156, 148, 137, 136, 189, 148, 145, 121, 143, 155, 140, 142, 97,  150,
               123, 119, 143, 126, 149, 105, 88,  141, 107, 117, 165, 98,  121, 171, 101, 124, 177, 104}) <= 1);
    CHECK(worst_difference(
              io::resize(small, 4, 3, Filter::bicubic),
              {62,  115, 164, 135, 157, 148, 140, 137, 190, 153, 147, 120, 147, 158, 143, 141, 91,  150,
               123, 114, 147, 128, 148, 100, 81,  143, 106, 118, 168, 94,  121, 172, 100, 126, 179, 102}) <= 1);
    CHECK(worst_difference(io::resize(small, 9, 8, Filter::bilinear),
                           {0,   16,  39,  62,  86,  109, 132, 148, 61,  82,  112, 142, 173, 203, 137, 83,  131, 159,
                            189, 157, 160, 199, 157, 122, 145, 178, 212, 135, 101, 113, 156, 188, 17,  56,  111, 166,
                            141, 36,  75,  113, 88,  132, 183, 122, 105, 132, 80,  38,  159, 146, 131, 131, 123, 105,
                            104, 104, 144, 125, 104, 130, 130, 103, 124, 143, 34,  95,  166, 93,  99,  186, 129, 78}) <=
          1);
    CHECK(worst_difference(io::resize(small, 9, 8, Filter::bicubic),
                           {0,   8,   34,  56,  79,  102, 135, 156, 53,  71,  106, 148, 191, 217, 130, 60,  141, 173,
                            206, 158, 163, 219, 162, 110, 152, 194, 229, 125, 76,  105, 169, 212, 11,  47,  111, 184,
                            151, 29,  70,  119, 74,  136, 200, 111, 93,  148, 74,  11,  180, 156, 126, 134, 126, 101,
                            103, 108, 157, 124, 90,  139, 139, 91,  126, 160, 15,  93,  177, 78,  86,  200, 132, 65}) <=
          1);
    const Image wide = pattern_image(6, 9);
    CHECK(worst_difference(io::resize(wide, 3, 12, Filter::bilinear),
                           {65,  96,  119, 133, 169, 138, 120, 134, 171, 139, 94,  56, 100, 149, 161, 129, 116, 124,
                            123, 111, 99,  126, 162, 192, 134, 134, 134, 130, 103, 98, 98,  107, 162, 103, 103, 172}) <=
          1);
    CHECK(worst_difference(io::resize(wide, 3, 12, Filter::bicubic),
                           {61,  90,  116, 133, 180, 139, 111, 134, 183, 147, 83,  38, 95, 159, 175, 126, 110, 126,
                            129, 110, 83,  124, 177, 207, 137, 132, 133, 131, 100, 93, 91, 105, 178, 92,  89,  176}) <=
          1);
}

TEST_CASE("resizing keeps constants and, at equal size, everything") {
    const Image image = pattern_image(13, 8);
    for (const Filter filter : {Filter::box, Filter::bilinear, Filter::bicubic}) {
        CHECK(io::resize(image, 13, 8, filter) == image);
        Image flat = make_image(9, 31);
        flat.pixels.assign(flat.pixels.size(), 201);
        for (const int size : {1, 2, 17, 64}) {
            const Image resized = io::resize(flat, size, 65 - size, filter);
            CHECK(resized.height == size);
            CHECK(resized.width == 65 - size);
            CHECK(worst_difference(resized, std::vector<int>(resized.pixels.size(), 201)) == 0);
        }
    }
}

TEST_CASE("resizing the short side keeps the proportion") {
    const Image tall = io::resize_short_side(pattern_image(50, 20), 10);
    CHECK(tall.height == 25);
    CHECK(tall.width == 10);
    const Image wide = io::resize_short_side(pattern_image(3, 10), 7);
    CHECK(wide.height == 7);
    CHECK(wide.width == 23);  // 23.3
    CHECK(io::resize_short_side(pattern_image(4, 4), 9) == io::resize(pattern_image(4, 4), 9, 9));
    CHECK(contains(error_text([] { (void)io::resize_short_side(make_image(1, 60000), 2); }), "too long and thin"));
    const Image covering = io::resize_to_cover(pattern_image(50, 20), 10, 8);
    CHECK(covering.height == 20);
    CHECK(covering.width == 8);
    CHECK(io::resize_to_cover(pattern_image(50, 20), 30, 3) == io::resize(pattern_image(50, 20), 30, 12));
    CHECK_THROWS_AS((void)io::resize_short_side(pattern_image(4, 4), 0), Error);
}

TEST_CASE("cropping takes the right pixels and nothing outside") {
    const Image image = pattern_image(6, 9);
    const Image part = io::crop(image, 2, 3, 3, 4);
    CHECK(part.height == 3);
    CHECK(part.width == 4);
    for (std::size_t y = 0; y < 3; ++y) {
        for (std::size_t i = 0; i < 12; ++i) {
            CHECK(part.pixels[y * 12 + i] == image.pixels[((y + 2) * 9 + 3) * 3 + i]);
        }
    }
    CHECK(io::crop(image, 0, 0, 6, 9) == image);
    CHECK(io::center_crop(image, 3, 4) == io::crop(image, 1, 2, 3, 4));
    CHECK(io::center_crop(image, 6, 1) == io::crop(image, 0, 4, 6, 1));
    for (const auto& [top, left, height, width] :
         {std::array{-1, 0, 2, 2}, std::array{0, -1, 2, 2}, std::array{5, 0, 2, 2}, std::array{0, 8, 2, 2},
          std::array{0, 0, 0, 2}, std::array{0, 0, 7, 2}, std::array{1, 1, std::numeric_limits<int>::max(), 1}}) {
        CHECK_THROWS_AS((void)io::crop(image, top, left, height, width), Error);
    }
    CHECK_THROWS_AS((void)io::center_crop(image, 7, 2), Error);
}

TEST_CASE("mirroring swaps columns and twice changes nothing") {
    for (const int width : {1, 2, 5, 8}) {
        const Image image = pattern_image(3, width);
        const Image mirrored = io::flip_horizontal(image);
        for (int y = 0; y < 3; ++y) {
            for (int x = 0; x < width; ++x) {
                CHECK(io::crop(mirrored, y, x, 1, 1) == io::crop(image, y, width - 1 - x, 1, 1));
            }
        }
        CHECK(io::flip_horizontal(mirrored) == image);
    }
}

TEST_CASE("planes hold -1..1 by channel and convert back exactly") {
    Image image = make_image(16, 16);
    for (std::size_t i = 0; i < 256; ++i) {
        image.pixels[i * 3] = static_cast<std::uint8_t>(i);
        image.pixels[i * 3 + 1] = static_cast<std::uint8_t>(255 - i);
        image.pixels[i * 3 + 2] = static_cast<std::uint8_t>(i * 7);
    }
    std::vector<float> planes(3 * 256 + 1, 9.0F);
    to_unit_planes(image, planes.data());
    CHECK(planes[0] == -1.0F);
    CHECK(planes[255] == 1.0F);
    CHECK(planes[256] == 1.0F);
    CHECK(planes[51] == doctest::Approx(-0.6));
    CHECK(planes[768] == 9.0F);  // nothing beyond the end
    CHECK(from_unit_planes(planes.data(), 16, 16) == image);
}

TEST_CASE("planes are rounded to nearest and clipped") {
    std::vector<float> planes{-1.5F,    1.5F,     -1e30F,  1e30F,    -1.0F, 0.0F,
                              -0.9985F, -0.9942F, 0.9985F, -0.0001F, 1.0F,  -1.0F};
    const Image image = from_unit_planes(planes.data(), 2, 2);
    // Planes are [red; green; blue] of four pixels each.
    const std::vector<int> expected{0, 0, 255, 255, 128, 127, 0, 0, 255, 255, 1, 0};
    for (std::size_t pixel = 0; pixel < 4; ++pixel) {
        for (std::size_t c = 0; c < 3; ++c) {
            CAPTURE(pixel);
            CAPTURE(c);
            CHECK(image.pixels[pixel * 3 + c] == expected[pixel * 3 + c]);
        }
    }
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        planes[5] = bad;
        CHECK_THROWS_AS((void)from_unit_planes(planes.data(), 2, 2), Error);
    }
}

TEST_CASE("tiles of a photo become the photo again, as images and as planes") {
    const Image photo = pattern_image(13, 25);
    const Image whole = io::crop_to_tiles(photo, 4, 10);
    CHECK(whole == io::center_crop(photo, 12, 20));
    const std::vector<Image> tiles = io::cut_tiles(whole, 4, 10);
    REQUIRE(tiles.size() == 6);
    CHECK(tiles[3] == io::crop(whole, 4, 10, 4, 10));
    CHECK(io::join_tiles(tiles, 12, 20) == whole);
    const std::vector<float> planes = flowfar::to_planes(tiles);
    CHECK(io::join_tile_planes(planes, 4, 10, 12, 20) == flowfar::to_planes({&whole, 1}));
    CHECK_THROWS_AS((void)io::join_tile_planes(planes, 5, 10, 12, 20), Error);
    CHECK_THROWS_AS((void)io::join_tiles(tiles, 12, 10), Error);
    CHECK_THROWS_AS((void)io::join_tiles({}, 12, 20), Error);
    CHECK_THROWS_AS((void)io::cut_tiles(photo, 4, 10), Error);
    CHECK_THROWS_AS((void)io::crop_to_tiles(photo, 14, 10), Error);
}
