#include "flowfar/core/images/image_tensor.hpp"

#include <doctest/doctest.h>
#include <limits>

#include "flowfar/backend/reference.hpp"

namespace {

using namespace flowfar;
using Batch = Tensor<Reference, Shape<dyn, 3, 2, dyn>>;

Image image(int height, int width, int start) {
    Image out = make_image(height, width);
    for (std::size_t i = 0; i < out.pixels.size(); ++i) {
        out.pixels[i] = static_cast<std::uint8_t>((static_cast<std::size_t>(start) + 7 * i) % 256);
    }
    return out;
}

TEST_CASE("images become a batch in [-1, 1] and come back unchanged") {
    const std::vector<Image> images{image(2, 3, 0), image(2, 3, 100)};
    const Batch batch = to_tensor<Batch>(images);
    REQUIRE(batch.extents() == Extents{2, 3, 2, 3});
    // Channel 1 of pixel (1, 2) of the second image.
    const float value = batch.to_host()[static_cast<std::size_t>(((1 * 3 + 1) * 2 + 1) * 3 + 2)];
    CHECK(value == doctest::Approx(images[1].pixels[(1 * 3 + 2) * 3 + 1] / 127.5 - 1.0));
    const std::vector<Image> again = to_images(batch);
    REQUIRE(again.size() == 2);
    CHECK(again[0].pixels == images[0].pixels);
    CHECK(again[1].pixels == images[1].pixels);
}

TEST_CASE("images become batches of every element type and come back unchanged") {
    const Image whole = image(2, 4, 30);
    CHECK(to_images(to_tensor<Tensor<Reference, Shape<1, 3, 2, 4>, double>>(whole))[0] == whole);
    const auto rounded = to_images(to_tensor<Tensor<Reference, Shape<1, 3, 2, 4>, bf16>>(whole))[0];
    for (std::size_t i = 0; i < whole.pixels.size(); ++i) {
        CHECK(std::abs(int(rounded.pixels[i]) - int(whole.pixels[i])) <= 1);  // bf16 has eight bits
    }
}

TEST_CASE("images of other sizes are refused") {
    const std::vector<Image> mixed{image(2, 3, 0), image(2, 4, 0)};
    CHECK_THROWS_WITH_AS(static_cast<void>(to_tensor<Batch>(mixed)), doctest::Contains("found 2 x 4"), Error);
    CHECK_THROWS_AS(static_cast<void>(to_tensor<Batch>(image(3, 3, 0))), Error);
    CHECK_THROWS_AS(static_cast<void>(to_tensor<Batch>(std::span<const Image>())), Error);
    const std::vector<float> planes(17);
    CHECK_THROWS_AS(static_cast<void>(from_planes(planes, 2, 3)), Error);
}

TEST_CASE("values that are no numbers do not become pixels") {
    std::vector<float> planes(18);
    planes[4] = -7.0F;
    planes[5] = 7.0F;
    const Image clipped = from_planes(planes, 2, 3)[0];
    CHECK(clipped.pixels[12] == 0);
    CHECK(clipped.pixels[15] == 255);
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        planes[3] = value;
        CHECK_THROWS_WITH_AS(static_cast<void>(from_planes(planes, 2, 3)), doctest::Contains("image: pixel 3 is "),
                             Error);
    }
}

}  // namespace
