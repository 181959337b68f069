#include "flowfar/io/data/loader.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/backend/reference.hpp"

#include "io_support.hpp"
#include "support/temp_dir.hpp"

using flowfar::Error;
using flowfar::Image;
using flowfar::Index;
using flowfar::make_image;
using flowfar::to_unit_planes;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;
using io::Batch;
using io::ImageDataset;
using io::ImageLoader;
using io::LoaderOptions;

namespace {

std::string number_name(int i) {
    char name[32];
    std::snprintf(name, sizeof name, "%03d.png", i);
    return name;
}

/// Image i has height and width `extent` + i % 3, red = i everywhere, green = column, blue = row.
Image numbered_image(int i, int extent) {
    Image image = make_image(extent + i % 3, extent + i % 2);
    for (int y = 0; y < image.height; ++y) {
        for (int x = 0; x < image.width; ++x) {
            const auto at = static_cast<std::size_t>(y * image.width + x) * 3;
            image.pixels[at] = static_cast<std::uint8_t>(i);
            image.pixels[at + 1] = static_cast<std::uint8_t>(x);
            image.pixels[at + 2] = static_cast<std::uint8_t>(y);
        }
    }
    return image;
}

/// A folder of `count` numbered images; those in `bad` are no images.
ImageDataset make_dataset(const TempDir& folder, int count, int extent, const std::set<int>& bad = {}) {
    for (int i = 0; i < count; ++i) {
        const fs::path path = folder / flowfar::text("class", i % 2, '/', number_name(i));
        if (bad.contains(i)) {
            put_file(path, "broken");
        } else {
            put_file(path, io::encode_png(numbered_image(i, extent)));
        }
    }
    return ImageDataset(folder.path());
}

/// The pixel value that a plane element came from.
int level(float value) {
    return static_cast<int>((value + 1.0F) * 127.5F + 0.5F);
}

/// The number (red) of every image of a batch.
std::vector<int> numbers(const Batch& batch) {
    std::vector<int> out;
    const std::size_t stride = batch.images.size() / batch.labels.size();
    for (std::size_t i = 0; i < batch.labels.size(); ++i) {
        out.push_back(level(batch.images[i * stride]));
    }
    return out;
}

std::vector<Batch> take(ImageLoader& loader, int count) {
    std::vector<Batch> batches;
    for (int i = 0; i < count; ++i) {
        batches.push_back(loader.next());
    }
    return batches;
}

void check_equal(const std::vector<Batch>& found, const std::vector<Batch>& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i);
        CHECK(found[i].images == expected[i].images);
        CHECK(found[i].labels == expected[i].labels);
        CHECK(found[i].index == expected[i].index);
    }
}

}  // namespace

TEST_CASE("every epoch holds every image once, in a new order") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 12, 8);
    ImageLoader loader(dataset, {.batch = 4, .size = 8, .seed = 3});
    CHECK(loader.batches_per_epoch() == 3);
    std::set<std::vector<int>> orders;
    for (int epoch = 0; epoch < 5; ++epoch) {
        std::vector<int> order;
        for (const Batch& batch : take(loader, 3)) {
            CHECK(batch.images.size() == 4 * 3 * 8 * 8);
            for (std::size_t i = 0; i < 4; ++i) {
                order.push_back(numbers(batch)[i]);
                CHECK(batch.labels[i] == order.back() % 2);
            }
        }
        orders.insert(order);
        std::ranges::sort(order);
        CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
    }
    CHECK(orders.size() == 5);
    CHECK(loader.position() == 15);
}

TEST_CASE("the stream is the same for any number of threads, prefetch and cache, and resumes anywhere") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 13, 9, {2, 7, 8});
    const LoaderOptions options{
        .batch = 5, .size = 7, .random_crop = true, .flip = true, .drop_last = false, .seed = 17, .threads = 0};
    ImageLoader plain(dataset, options);
    const std::vector<Batch> expected = take(plain, 12);
    struct Variant {
        int threads;
        Index prefetch;
        std::uint64_t cache;
        std::uint64_t start;
    };
    for (const Variant& variant :
         {Variant{1, 1, 0, 0}, Variant{2, 4, 0, 0}, Variant{5, 2, 1 << 20, 0}, Variant{3, 20, 500, 0},
          Variant{0, 1, 1 << 20, 0}, Variant{2, 3, 0, 7}, Variant{0, 1, 0, 11}}) {
        CAPTURE(variant.threads);
        CAPTURE(variant.start);
        LoaderOptions changed = options;
        changed.threads = variant.threads;
        changed.prefetch = variant.prefetch;
        changed.cache_bytes = variant.cache;
        changed.start = variant.start;
        ImageLoader loader(dataset, changed);
        check_equal(take(loader, 12 - static_cast<int>(variant.start)),
                    {expected.begin() + static_cast<std::ptrdiff_t>(variant.start), expected.end()});
        CHECK(loader.position() == 12);
        CHECK(loader.cached_bytes() <= variant.cache);
        CHECK((loader.cached_bytes() > 0) == (variant.cache > 0));
    }
    LoaderOptions reseeded = options;
    reseeded.seed = 18;
    ImageLoader other(dataset, reseeded);
    CHECK(other.next().images != expected[0].images);
}

TEST_CASE("unshuffled batches follow the dataset") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 7, 4);  // sorted: class0 with 0 2 4 6, class1 with 1 3 5
    ImageLoader dropping(dataset, {.batch = 3, .size = 4, .shuffle = false, .threads = 1});
    CHECK(numbers(dropping.next()) == std::vector<int>{0, 2, 4});
    CHECK(numbers(dropping.next()) == std::vector<int>{6, 1, 3});
    CHECK(numbers(dropping.next()) == std::vector<int>{0, 2, 4});
    ImageLoader running(dataset, {.batch = 3, .size = 4, .shuffle = false, .drop_last = false, .threads = 1});
    (void)take(running, 2);
    CHECK(numbers(running.next()) == std::vector<int>{5, 0, 2});
    ImageLoader large(dataset, {.batch = 15, .size = 4, .shuffle = false, .drop_last = false});
    CHECK(numbers(large.next()) == std::vector<int>{0, 2, 4, 6, 1, 3, 5, 0, 2, 4, 6, 1, 3, 5, 0});
}

TEST_CASE("crops and mirroring move over the whole image") {
    const TempDir folder;
    put_file(folder / "one.png", io::encode_png(numbered_image(2, 8)));  // 10 high, 8 wide
    const ImageDataset dataset(folder.path());
    const auto corner = [](const Batch& batch) {
        return std::pair(level(batch.images[8 * 8]), level(batch.images[2 * 8 * 8]));
    };
    ImageLoader centered(dataset, {.size = 8, .threads = 0});
    CHECK(corner(centered.next()) == std::pair(0, 1));
    ImageLoader cropped(dataset, {.size = 8, .random_crop = true, .threads = 0});
    std::map<int, int> rows;
    for (int i = 0; i < 300; ++i) {
        const auto [column, row] = corner(cropped.next());
        CHECK(column == 0);
        ++rows[row];
    }
    CHECK(rows.size() == 3);
    for (const auto& [row, count] : rows) {
        CHECK(row <= 2);
        CHECK(count > 60);  // 100 expected, standard deviation 8
    }
    // Crops that are no squares: of all columns four, 7 rows of them, and the middle of an image that just covers 6
    // × 3.
    ImageLoader narrow(dataset, {.size = 7, .width = 4, .resize = 8, .threads = 0});
    CHECK(narrow.next().images.size() == 3 * 7 * 4);
    const Image covering = io::resize_to_cover(numbered_image(2, 8), 14, 8);
    ImageLoader wide(dataset, {.size = 3, .width = 6, .shuffle = false, .threads = 0});
    const Image fitted = io::center_crop(io::resize(numbered_image(2, 8), 7, 6), 3, 6);
    std::vector<float> planes(fitted.pixels.size());
    to_unit_planes(fitted, planes.data());
    CHECK(wide.next().images == planes);
    CHECK(covering.height == 14);
    CHECK(covering.width == 11);
    ImageLoader mirrored(dataset, {.size = 8, .flip = true, .threads = 0});
    int flipped = 0;
    for (int i = 0; i < 300; ++i) {
        const Batch batch = mirrored.next();
        flipped += corner(batch).first == 7 ? 1 : 0;
        CHECK((corner(batch).first == 0 || corner(batch).first == 7));
    }
    CHECK(flipped > 110);
    CHECK(flipped < 190);
}

TEST_CASE("the short side is resized to the crop") {
    const TempDir folder;
    const Image image = gradient_image(20, 31);
    put_file(folder / "one.png", io::encode_png(image));
    ImageLoader loader(ImageDataset(folder.path()), {.size = 10, .threads = 1});
    std::vector<float> expected(3 * 10 * 10);
    to_unit_planes(io::center_crop(io::resize_short_side(image, 10), 10, 10), expected.data());
    CHECK(loader.next().images == expected);
}

TEST_CASE("unreadable images are replaced by the next readable one and reported once") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 7, 4, {2, 4, 5});  // sorted: 0 2 4 6 1 3 5
    for (const int threads : {0, 3}) {
        std::vector<std::string> called;
        ImageLoader loader(dataset,
                           {.batch = 7,
                            .size = 4,
                            .shuffle = false,
                            .threads = threads,
                            .on_skip = [&](const io::SkippedImage& skipped) { called.push_back(skipped.name); }});
        for (int epoch = 0; epoch < 3; ++epoch) {
            const Batch batch = loader.next();
            CHECK(numbers(batch) == std::vector<int>{0, 6, 6, 6, 1, 3, 0});
            CHECK(batch.labels == std::vector<Index>{0, 0, 0, 0, 1, 1, 0});
        }
        const std::vector<std::string> expected{"class0/002.png", "class0/004.png", "class1/005.png"};
        CHECK(called == expected);
        REQUIRE(loader.skipped().size() == 3);
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(loader.skipped()[i].name == expected[i]);
            CHECK(contains(loader.skipped()[i].reason, expected[i] + ": expected a PNG or JPEG image"));
        }
    }
}

TEST_CASE("skips are reported by the batch that would have held them, however far others are prefetched") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 6, 4, {3});  // sorted: 0 2 4 1 3 5
    ImageLoader loader(dataset, {.batch = 2, .size = 4, .shuffle = false, .threads = 2, .prefetch = 6});
    (void)take(loader, 2);
    CHECK(loader.skipped().empty());
    (void)loader.next();
    CHECK(loader.skipped().size() == 1);
}

TEST_CASE("if nothing is readable, every call throws") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 3, 4, {0, 1, 2});
    for (const int threads : {0, 2}) {
        ImageLoader loader(dataset, {.batch = 2, .size = 4, .threads = threads});
        for (int i = 0; i < 3; ++i) {
            const std::string message = error_text([&] { (void)loader.next(); });
            CHECK(contains(message, "none of the 3 images is readable"));
            CHECK(contains(message, "expected a PNG or JPEG image"));
        }
    }
}

TEST_CASE("a loader can be abandoned at any time") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 9, 16);
    for (int taken = 0; taken < 20; ++taken) {
        ImageLoader loader(dataset, {.batch = 3, .size = 16, .threads = 1 + taken % 4, .prefetch = 1 + taken % 5});
        (void)take(loader, taken % 3);
    }
}

TEST_CASE("impossible options are refused") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 3, 4);
    const auto refuses = [&](const LoaderOptions& options) { CHECK_THROWS_AS(ImageLoader(dataset, options), Error); };
    refuses({.batch = 0});
    refuses({.batch = 4});
    refuses({.size = 0});
    refuses({.size = 70000});
    refuses({.threads = -1});
    refuses({.prefetch = 0});
    CHECK_THROWS_AS(ImageLoader(dataset.subset({}), {}), Error);
}

TEST_CASE("shuffled_index is a permutation, different for every key") {
    for (const Index count : {1, 2, 3, 4, 5, 16, 17, 64, 100, 1000, 4097}) {
        CAPTURE(count);
        std::set<std::vector<Index>> orders;
        for (const std::uint64_t key : {1U, 2U, 3U}) {
            std::vector<Index> order;
            for (Index i = 0; i < count; ++i) {
                order.push_back(io::shuffled_index(key, i, count));
            }
            orders.insert(order);
            std::ranges::sort(order);
            for (Index i = 0; i < count; ++i) {
                REQUIRE(order[static_cast<std::size_t>(i)] == i);
            }
        }
        CHECK((count < 16 || orders.size() == 3));
    }
    CHECK(io::shuffled_index(1, 5, Index{1} << 40) < (Index{1} << 40));
}

TEST_CASE("shuffling brings every image to every place equally often") {
    constexpr Index count = 10;
    constexpr int trials = 20'000;
    std::map<std::pair<Index, Index>, int> hits;
    for (std::uint64_t epoch = 0; epoch < trials; ++epoch) {
        for (Index i = 0; i < count; ++i) {
            ++hits[{i, io::shuffled_index(flowfar::fold(5, epoch), i, count)}];
        }
    }
    CHECK(hits.size() == count * count);
    for (const auto& [place, n] : hits) {
        CAPTURE(place.first);
        CAPTURE(place.second);
        CHECK(std::abs(n - 2000) < 250);  // standard deviation 42
    }
}

TEST_CASE("pick_below covers its range evenly") {
    std::map<Index, int> hits;
    for (std::uint64_t i = 0; i < 7000; ++i) {
        ++hits[io::pick_below(flowfar::fold(1, i), 7)];
    }
    CHECK(hits.size() == 7);
    for (const auto& [value, n] : hits) {
        CHECK((value >= 0 && value < 7));
        CHECK(std::abs(n - 1000) < 180);  // standard deviation 29
    }
    CHECK(io::pick_below(~std::uint64_t{0}, 1) == 0);
}

TEST_CASE("range-for takes an epoch, some batches, or the endless stream; batches come as tensors, too") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 13, 8);
    const LoaderOptions options{.batch = 4, .size = 8, .seed = 3, .threads = 0};
    ImageLoader plain(dataset, options);
    const std::vector<Batch> expected = take(plain, 6);
    ImageLoader loader(dataset, options);
    std::vector<Batch> found;
    for (const Batch& batch : loader.epoch()) {
        found.push_back(batch);
    }
    CHECK(found.size() == 3);
    for (const Batch& batch : loader.take(1)) {
        found.push_back(batch);
    }
    for (const Batch& batch : loader) {
        found.push_back(batch);
        break;
    }
    using Images = flowfar::Tensor<flowfar::Reference, flowfar::Shape<flowfar::dyn, 3, 8, 8>>;
    const auto [images, labels, index] = loader.next<Images>();
    found.push_back({images.to_host(), labels, index});
    check_equal(found, expected);
    for (const Batch& batch : loader.take(0)) {
        FAIL("batch ", batch.index);
    }
    CHECK(loader.position() == 6);
}

TEST_CASE("range-for over a data set reads each image with its label and name") {
    const TempDir folder;
    const ImageDataset dataset = make_dataset(folder, 4, 8);
    Index count = 0;
    for (const auto& [image, label, name] : dataset) {
        CHECK(image == dataset.load(count));
        CHECK(label == dataset.label(count));
        CHECK(name == dataset.name(count));
        ++count;
    }
    CHECK(count == 4);
}
