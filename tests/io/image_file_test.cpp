/// Reading a picture at the size that a model takes, and writing one in the format that its name says.

#include <doctest/doctest.h>

#include "flowfar/backend/reference.hpp"
#include "flowfar/io/images/image.hpp"

#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

Image gradient(int height, int width) {
    Image image = make_image(height, width);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) {
        image.pixels[i] = static_cast<std::uint8_t>(i * 5 % 251);
    }
    return image;
}

}  // namespace

TEST_CASE("a picture is read as it is, or with its short side resized and the middle kept") {
    const TempDir folder;
    const auto path = folder / "photo.png";
    const Image photo = gradient(20, 34);
    io::write_image(path, photo);
    CHECK(io::read_image(path) == photo);
    const Image square = io::read_image(path, {.size = 10});
    CHECK(square == io::center_crop(io::resize_short_side(photo, 10), 10, 10));
    CHECK(io::read_image(path, {.size = 10, .filter = io::Filter::box}) != square);
    CHECK_THROWS_WITH_AS(static_cast<void>(io::read_image(path, {.size = -1})), doctest::Contains("at least 0"), Error);
}

TEST_CASE("the ending of the name chooses the format") {
    const TempDir folder;
    const Image photo = gradient(16, 16);
    for (const char* const name : {"a.png", "b.PNG"}) {
        io::write_image(folder / name, photo);
        CHECK(io::read_image(folder / name) == photo);
    }
    for (const char* const name : {"a.jpg", "b.JPEG"}) {
        io::write_image(folder / name, photo, {.quality = 90});
        const io::MappedFile file(folder / name);
        CHECK(static_cast<int>(file.bytes()[0]) == 0xFF);
        CHECK(static_cast<int>(file.bytes()[1]) == 0xD8);
    }
    for (const char* const name : {"a.gif", "png", "a.png.tmp"}) {
        CHECK_THROWS_WITH_AS(io::write_image(folder / name, photo), doctest::Contains("expected a name that ends in"),
                             Error);
        CHECK(!std::filesystem::exists(folder / name));
    }
}

TEST_CASE("a batch is written side by side") {
    using Batch = Tensor<Reference, Shape<dyn, 3, dyn, dyn>>;
    const TempDir folder;
    const std::vector<Image> images{gradient(4, 6), io::flip_horizontal(gradient(4, 6))};
    io::write_image(folder / "two.png", to_tensor<Batch>(images));
    const Image both = io::read_image(folder / "two.png");
    REQUIRE(both.width == 12);
    CHECK(io::crop(both, 0, 0, 4, 6) == images[0]);
    CHECK(io::crop(both, 0, 6, 4, 6) == images[1]);
    CHECK_THROWS_AS(static_cast<void>(io::beside({gradient(4, 6), gradient(4, 5)})), Error);
    CHECK_THROWS_AS(static_cast<void>(io::beside({})), Error);
}
