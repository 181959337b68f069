#include "flowfar/checkpoints/codes/latent_cache.hpp"

#include <doctest/doctest.h>

#include "flowfar/io/images/png.hpp"

#include "io_support.hpp"
#include "temp_dir.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::io;
using flowfar::testing::TempDir;

constexpr int size = 6;
constexpr Index photos = 7;

/// Two class folders of photos that all differ; the file numbered `broken` is no image.
void write_dataset(const std::filesystem::path& folder, Index broken = -1) {
    for (Index i = 0; i < photos; ++i) {
        const auto place = folder / (i < 4 ? "a" : "b");
        std::filesystem::create_directories(place);
        Image image{size, size, std::vector<std::uint8_t>(3 * size * size)};
        for (std::size_t k = 0; k < image.pixels.size(); ++k) {
            image.pixels[k] = static_cast<std::uint8_t>(fold(fold(11, static_cast<std::uint64_t>(i)), k) & 255U);
        }
        const auto path = place / text(i, ".png");
        if (i == broken) {
            write_atomically(path, std::as_bytes(std::span("no image", 8)));
        } else {
            write_png(path, image);
        }
    }
}

LoaderOptions options() {
    LoaderOptions o;
    o.size = size;
    o.batch = 3;
    o.threads = 0;
    return o;
}

/// An encoder that doubles.
std::vector<float> twice(const std::vector<float>& images) {
    std::vector<float> out = images;
    for (float& value : out) {
        value *= 2.0F;
    }
    return out;
}

}  // namespace

TEST_CASE("a cache gives the batches that encoding as they come would give") {
    const TempDir folder;
    write_dataset(folder / "photos");
    const ImageDataset data(folder / "photos");
    std::vector<Index> progress;
    CHECK(LatentCache::write(folder / "cache", data, options(), {3, size, size}, twice, {{"key", "twice"}},
                             [&](Index done) {
                                 progress.push_back(done);
                                 return true;
                             }));
    CHECK(progress == std::vector<Index>{3, 6, 7, 10, 13, 14});
    const LatentCache cache(folder / "cache");
    CHECK(cache.size() == photos);
    CHECK(cache.metadata().at("key") == "twice");
    CHECK(cache.label(0) == 0);
    CHECK(cache.label(6) == 1);

    for (const bool flip : {false, true}) {
        LoaderOptions stream = options();
        stream.flip = flip;
        stream.drop_last = false;
        stream.seed = 5;
        ImageLoader loader(data, stream);
        for (std::uint64_t b = 0; b < 8; ++b) {
            const Batch expected = loader.next();
            const Batch found = cache.batch(b, 3, 5, flip);
            CHECK(found.labels == expected.labels);
            CHECK(found.images == twice(expected.images));
        }
    }
}

TEST_CASE("unreadable images are replaced and reported once; a stopped run leaves no file") {
    const TempDir folder;
    write_dataset(folder / "photos", 2);
    const ImageDataset data(folder / "photos");
    LoaderOptions o = options();
    int reports = 0;
    o.on_skip = [&](const SkippedImage&) { ++reports; };
    CHECK(LatentCache::write(folder / "cache", data, o, {3, size, size}, twice, {}));
    CHECK(reports == 1);
    const LatentCache cache(folder / "cache");
    std::vector<float> third(3 * size * size);
    std::vector<float> fourth = third;
    cache.read(2, false, third.data());
    cache.read(3, false, fourth.data());
    CHECK(third == fourth);
    CHECK_THROWS_AS(cache.read(photos, false, third.data()), Error);
    CHECK_FALSE(
        LatentCache::write(folder / "half", data, options(), {3, size, size}, twice, {}, [](Index) { return false; }));
    CHECK_FALSE(std::filesystem::exists(folder / "half"));
    CHECK_THROWS_WITH_AS(LatentCache::write(folder / "half", data, options(), {4, size, size}, twice, {}),
                         doctest::Contains("expected 432 values of the encoder, found 324"), Error);
}

TEST_CASE("files of another shape are refused") {
    const TempDir folder;
    {
        SafetensorsWriter writer(folder / "wrong");
        writer.declare("statistics", DType::f32, {1, 1, 1, 2, 2});
        writer.declare("labels", DType::i64, {1});
        writer.write_values<float>("statistics", std::vector<float>(4));
        writer.write_values<Index>("labels", std::vector<Index>{0});
        writer.finish();
    }
    CHECK_THROWS_WITH_AS(LatentCache(folder / "wrong"),
                         doctest::Contains("statistics: expected [2, images, channels, height, width] of F32, found "
                                           "[1, 1, 1, 2, 2] of F32"),
                         Error);
}
