/// Images with captions, and caches of what a network makes of them.

#include "flowfar/io/data/captions.hpp"

#include <doctest/doctest.h>

#include "flowfar/io/data/feature_cache.hpp"
#include "flowfar/io/images/png.hpp"

#include "io_support.hpp"
#include "tar_builder.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;
using io::FeatureCache;

namespace {

std::string picture() {
    const TempDir folder;
    io::write_png(folder / "one.png", Image{2, 2, std::vector<std::uint8_t>(12, 7)});
    return io::read_text(folder / "one.png");
}

std::string refused(const io::Path& path) {
    return error_text([&] { static_cast<void>(io::read_captioned(path)); });
}

}  // namespace

TEST_CASE("captions of a folder and of a shard: the label is the caption's number, in views too") {
    const TempDir folder;
    const io::Path photos = folder / "photos";
    TarBuilder tar;
    std::filesystem::create_directories(photos / "b");
    for (const auto& [name, caption] : {std::pair("b/2", "two boats\n"), {"1", " a red apple "}, {"3", ""}}) {
        put_file(photos / (std::string(name) + ".png"), picture());
        tar.add(std::string(name) + ".png", picture());
        tar.add(std::string(name) + ".txt", caption);
    }
    put_file(photos / "captions.txt", "b/2.png\ttwo boats\r\n\n1.png\ta red apple\n3.png\t");
    put_file(folder / "photos.tar", tar.finish());
    for (const char* name : {"photos", "photos.tar"}) {
        CAPTURE(name);
        const io::CaptionedImages data = io::read_captioned(folder / name);
        CHECK(data.captions == std::vector<std::string>{"a red apple", "", "two boats"});
        CHECK(data.images.name(2) == "b/2.png");
        CHECK(data.images.subset({2, 0}).label(0) == 2);
        CHECK(data.images.has_labels());
        CHECK(data.images.summary() == "3 images, each with a label of its own");
    }
    put_file(photos / "captions.txt",
             "\xEF\xBB\xBF"
             "1.png\ta\nb/2.png\tb\n3.png\tc\n");
    CHECK(io::read_captioned(photos).captions == std::vector<std::string>{"a", "c", "b"});
    put_file(photos / "captions.txt", "1.png\ta\n3.png\tb\n");
    CHECK(contains(refused(photos), "b/2.png has no caption in captions.txt"));
    put_file(photos / "captions.txt", "1.png\ta\n3.png\tb\n1.png\tc\n");
    CHECK(contains(refused(photos), "captions.txt, line 3: 1.png has a caption already"));
    put_file(photos / "captions.txt", "1.png\ta\nb/2.png\ta\n3.png\tb\n4.png\tb\n");
    CHECK(contains(refused(photos), "a caption of 4.png, which is no image there"));
    put_file(photos / "captions.txt", "1.png a\n");
    CHECK(contains(refused(photos), "captions.txt, line 1: expected the name of an image, a tab"));
    CHECK(contains(refused(photos / "b"), "expected captions.txt in the folder"));
    tar.add("4.png", picture());
    put_file(folder / "photos.tar", tar.finish());
    CHECK(contains(refused(folder / "photos.tar"), "4.png has no caption, expected 4.txt"));
}

TEST_CASE("a feature cache is continued where it was left, and refuses what was made otherwise") {
    const TempDir folder;
    const io::Path path = folder / "features";
    constexpr Index count = 2 * FeatureCache::file_size + 3;
    constexpr FeatureCache::Shape shape{2, 3};
    const FeatureCache::Metadata made{{"captions", "5"}};
    Index encoded = 0;
    const auto encode = [&](Index i) {
        ++encoded;
        return std::vector<float>(6, static_cast<float>(i));
    };
    constexpr Index stop = FeatureCache::file_size + 10;
    CHECK_FALSE(FeatureCache::complete(path, count));
    CHECK_FALSE(FeatureCache::write(path, count, shape, encode, made, [](Index done) { return done < stop; }));
    CHECK(FeatureCache::complete(path, FeatureCache::file_size));
    CHECK_FALSE(FeatureCache::complete(path, count));
    CHECK(encoded == stop);
    CHECK(contains(error_text([&] { static_cast<void>(FeatureCache(path, count, shape, made)); }),
                   "features_00001.safetensors"));
    CHECK(FeatureCache::write(path, count, shape, encode, made));
    CHECK(encoded == stop + count - FeatureCache::file_size);
    CHECK(FeatureCache::complete(path, count));
    const FeatureCache cache(path, count, shape, made);
    for (const Index i : {Index{0}, stop, count - 1}) {
        std::vector<float> found(6);
        cache.read(i, found.data());
        CHECK(found == std::vector<float>(6, static_cast<float>(i)));
    }
    float none = 0;
    CHECK_THROWS_AS(cache.read(count, &none), Error);
    const auto other = [&](Index n, FeatureCache::Shape s, const FeatureCache::Metadata& m) {
        return error_text([&] { static_cast<void>(FeatureCache::write(path, n, s, encode, m)); });
    };
    CHECK(contains(other(count, shape, {{"captions", "6"}}), "made with captions 5, expected 6"));
    CHECK(contains(other(count, {2, 4}, made), "features: expected [64, 2, 4] of F32, found [64, 2, 3]"));
    CHECK(contains(other(count + 1, shape, made), "features: expected [4, 2, 3] of F32, found [3, 2, 3]"));
}
