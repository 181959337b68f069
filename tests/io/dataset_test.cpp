#include "flowfar/io/data/dataset.hpp"

#include <algorithm>
#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "folders.hpp"
#include "io_support.hpp"
#include "support/temp_dir.hpp"
#include "tar_builder.hpp"

using flowfar::Error;
using flowfar::Image;
using flowfar::Index;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;

namespace {

/// An image file whose height tells which it is.
std::string image_file(int height, bool jpeg = false) {
    const Image image = gradient_image(height, 5);
    const Bytes bytes = jpeg ? io::encode_jpeg(image, 90) : io::encode_png(image);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Listing {
    std::vector<std::string> classes;
    std::vector<std::string> names;
    std::vector<Index> labels;

    friend bool operator==(const Listing&, const Listing&) = default;
};

Listing list(const io::ImageDataset& dataset) {
    Listing out{dataset.class_names(), {}, {}};
    for (Index i = 0; i < dataset.size(); ++i) {
        out.names.push_back(dataset.name(i));
        out.labels.push_back(dataset.label(i));
    }
    return out;
}

/// The listing of the same files as a folder; checks that the tar archive gives the same.
Listing list_both(const std::vector<std::string>& names) {
    const TempDir folder;
    TarBuilder builder;
    for (auto name = names.rbegin(); name != names.rend(); ++name) {  // stored in another order than sorted
        put_file(folder.path() / "data" / *name, "not decoded here");
        builder.add(*name, "not decoded here");
    }
    put_file(folder / "data.tar", builder.finish());
    const Listing from_folder = list(io::ImageDataset(folder / "data"));
    CHECK(list(io::ImageDataset(folder / "data.tar")) == from_folder);
    CHECK(list(io::ImageDataset(folder / "data/")) == from_folder);
    return from_folder;
}

}  // namespace

TEST_CASE("class folders become labels in the order of their names") {
    CHECK(list_both({"dog/b.png", "cat/2.jpg", "cat/10.JPEG", "ant/deep/er/x.Png"}) ==
          Listing{{"ant", "cat", "dog"}, {"ant/deep/er/x.Png", "cat/10.JPEG", "cat/2.jpg", "dog/b.png"}, {0, 1, 1, 2}});
}

TEST_CASE("folders shared by all images are not classes") {
    CHECK(list_both({"set/train/a/1.png", "set/train/ab/1.png"}) ==
          Listing{{"a", "ab"}, {"set/train/a/1.png", "set/train/ab/1.png"}, {0, 1}});
    CHECK(list_both({"set/only/1.png", "set/only/2.png"}) ==
          Listing{{"only"}, {"set/only/1.png", "set/only/2.png"}, {0, 0}});
    CHECK(list_both({"set/only/1.png"}) == Listing{{"only"}, {"set/only/1.png"}, {0}});
}

TEST_CASE("a flat folder is one class with its name") {
    CHECK(list_both({"b.png", "a.jpg"}) == Listing{{"data"}, {"a.jpg", "b.png"}, {0, 0}});
}

TEST_CASE("other and hidden files do not count") {
    CHECK(list_both({"a/1.png", "a/notes.txt", "b/2.png", "b/._2.png", ".cache/3.png", "labels.csv", "png",
                     "b/.png"}) == Listing{{"a", "b"}, {"a/1.png", "b/2.png"}, {0, 1}});
}

TEST_CASE("what cannot be labeled is refused by name") {
    const TempDir folder;
    put_file(folder / "mixed/a/1.png", "x");
    put_file(folder / "mixed/stray.png", "x");
    const io::ImageDataset mixed(folder / "mixed");  // labels may not be asked for
    CHECK(mixed.size() == 2);
    CHECK(mixed.summary() == "2 images, some in folders and some not: no classes");
    CHECK(mixed.label(0) == 0);
    for (const auto& asks : {std::function<void()>([&] { mixed.require_labels(); }),
                             std::function<void()>([&] { static_cast<void>(mixed.label(1)); })}) {
        CHECK(contains(error_text(asks), "some images are in class folders and some are not, such as stray.png"));
    }
    fs::create_directory(folder / "empty");
    CHECK(contains(error_text([&] { io::ImageDataset dataset(folder / "empty"); }), "empty: no images"));
    CHECK(contains(error_text([&] { io::ImageDataset dataset(folder / "absent"); }), "absent: cannot open"));
    put_file(folder / "text.txt", "certainly no archive");
    CHECK(contains(error_text([&] { io::ImageDataset dataset(folder / "text.txt"); }), "text.txt: tar"));
}

TEST_CASE("linked folders are followed, loops and dangling links do no harm") {
    const TempDir folder;
    put_file(folder / "store/1.png", "x");
    put_file(folder / "data/a/0.png", "x");
    fs::create_directory_symlink("../store", folder / "data/b");
    fs::create_symlink("nowhere", folder / "data/a/gone.png");
    CHECK(list(io::ImageDataset(folder / "data")).names == std::vector<std::string>{"a/0.png", "b/1.png"});
    // No folder is listed twice, and real folders come before links to them.
    for (const char* name : {"data/a/loop", "data/a/again", "store/back", "data/0"}) {
        fs::create_directory_symlink(folder / "data", folder / name);
    }
    fs::create_directory_symlink(folder / "data/a", folder / "data/A");
    fs::create_symlink("self", folder / "data/a/self");
    const Listing looped = list(io::ImageDataset(folder / "data"));
    CHECK(looped.classes == std::vector<std::string>{"a", "b"});
    CHECK(looped.names == std::vector<std::string>{"a/0.png", "b/1.png"});
    CHECK(list(io::ImageDataset(folder / "data/0")) == looped);  // the folder itself may be a link
}

TEST_CASE("names as archives spell them: only a dot and more hides, labels and links count as extracted") {
    const auto listed = [](const std::vector<std::string>& names) {
        const TempDir folder;
        TarBuilder builder;
        builder.add("backup of May", "", 'V');
        for (const std::string& name : names) {
            builder.add(name, "x");
        }
        put_file(folder / "data.tar", builder.finish());
        return list(io::ImageDataset(folder / "data.tar"));
    };
    CHECK(listed({"../p/x/0.png", "../p/y/1.png"}) == Listing{{"x", "y"}, {"../p/x/0.png", "../p/y/1.png"}, {0, 1}});
    CHECK(listed({"./p/./x/0.png", "p/x/.1.png", "p/..y/2.png"}) == Listing{{"x"}, {"p/x/0.png"}, {0}});
    CHECK(listed({"a/0.png", "a/1.png", "./a/0.png"}).names == std::vector<std::string>{"a/0.png", "a/1.png"});
    const TempDir folder;
    TarBuilder builder;
    builder.add("a/0.png", "x");
    builder.link("b/hard.png", "a/0.png", '1');
    builder.link("b/soft.png", "../a/0.png", '2');
    builder.link("b/gone.png", "nowhere", '2');
    put_file(folder / "data.tar", builder.finish());
    const io::ImageDataset data(folder / "data.tar");
    CHECK(list(data) == Listing{{"a", "b"}, {"a/0.png", "b/hard.png", "b/soft.png"}, {0, 1, 1}});
    CHECK(data.summary() == "3 images in 2 classes (left out: 1 link that leads nowhere, b/gone.png)");
}

TEST_CASE("a WebDataset shard has the labels beside its images") {
    const TempDir folder;
    const auto shard = [&](const std::vector<std::pair<std::string, std::string>>& members) {
        TarBuilder builder;
        for (const auto& [name, content] : members) {
            builder.add(name, content);
        }
        put_file(folder / "shard.tar", builder.finish());
        return io::ImageDataset(folder / "shard.tar");
    };
    CHECK(list(shard({{"0.jpg", "x"}, {"0.cls", "2"}, {"1.jpg", "x"}, {"1.cls", " 0\n"}})) ==
          Listing{{"0", "1", "2"}, {"0.jpg", "1.jpg"}, {2, 0}});
    CHECK(shard({{"0.jpg", "x"}, {"0.cls", "2"}, {"1.jpg", "x"}, {"1.cls", "0"}}).summary() == "2 images in 2 classes");
    CHECK(list(shard({{"a/0.png", "x"}, {"a/0.json", R"({"label": 1, "x": [{}]})"}})) ==
          Listing{{"0", "1"}, {"a/0.png"}, {1}});
    CHECK(
        list(shard(
                 {{"0.png", "x"}, {"0.json", R"({"class": "dog"})"}, {"1.jpg", "x"}, {"1.json", R"({"class":"cat"})"}}))
            .labels == std::vector<Index>{1, 0});
    CHECK(list(shard({{"0.jpg", "x"}, {"0.json", R"({"label": 1})"}, {"0.cls", "3"}})).labels == std::vector<Index>{3});
    // captions are no labels, and names may have dots where there are none
    CHECK(list(shard({{"0.a.jpg", "x"}, {"0.b.jpg", "x"}, {"0.json", R"({"caption": "a dog"})"}})).labels ==
          std::vector<Index>{0, 0});
    const auto refuses = [&](const std::vector<std::pair<std::string, std::string>>& members, const char* part) {
        const std::string message = error_text([&] { static_cast<void>(shard(members)); });
        CHECK_MESSAGE(contains(message, part), message);
    };
    refuses({{"0.jpg", "x"}, {"0.seg.png", "x"}, {"0.cls", "1"}},
            "several images for the key \"0\": 0.jpg and 0.seg.png");
    refuses({{"0.jpg", "x"}, {"0.cls", "1"}, {"1.jpg", "x"}}, "1.jpg has no label");
    refuses({{"0.jpg", "x"}, {"0.cls", "-1"}}, "sample \"0\": label -1");
    CHECK(list(shard({{"0.jpg", "x"}, {"0.json", R"({"label": 3.0, "class": 1})"}})).labels == std::vector<Index>{3});
    CHECK(list(shard({{"0.jpg", "x"}, {"0.json", R"({"label": null, "class": 1})"}})).labels == std::vector<Index>{1});
    for (const char* const odd : {"1.5", "[1]", "true", "{}", "1e300"}) {
        refuses({{"0.jpg", "x"}, {"0.json", std::string(R"({"label": )") + odd + "}"}},
                "0.json: \"label\": expected a whole number or a name, found ");
    }
    refuses({{"0.jpg", "x"}, {"0.cls", ""}}, "0.cls: expected a class of 1 to 1000 characters");
    refuses({{"0.jpg", "x"}, {"0.cls", "1"}, {"1.jpg", "x"}, {"1.cls", "dog"}}, "sample \"1\" by the name \"dog\"");
}

TEST_CASE("a dataset gives images upright, or as they are stored") {
    const TempDir folder;
    fs::create_directories(folder / "data");
    fs::copy_file(flowfar::testing::source_folder() / "tests/io/data/orientation_6.jpg", folder / "data/a.jpg");
    io::ImageDataset data(folder / "data");
    const flowfar::Image upright = data.load(0);
    data.set_orientation(io::Orientation::stored);
    const flowfar::Image stored = data.subset({0}).load(0);
    CHECK(upright == io::apply_orientation(stored, 6));
    CHECK(upright.height == stored.width);
}

TEST_CASE("images load from folders and archives alike") {
    const TempDir folder;
    TarBuilder builder;
    for (int i = 1; i <= 6; ++i) {
        const std::string name = flowfar::text(i % 2 == 0 ? "even/" : "odd/", i, i < 4 ? ".png" : ".jpg");
        put_file(folder.path() / "data" / name, image_file(i, i >= 4));
        builder.add(name, image_file(i, i >= 4));
    }
    put_file(folder / "data.tar", builder.finish());
    for (const char* source : {"data", "data.tar"}) {
        const io::ImageDataset dataset(folder / source);
        REQUIRE(dataset.size() == 6);
        for (Index i = 0; i < 6; ++i) {
            const Image image = dataset.load(i);
            CHECK(dataset.name(i).find(std::to_string(image.height)) != std::string::npos);
            CHECK(dataset.label(i) == image.height % 2);
        }
    }
}

TEST_CASE("one image is a dataset of one, whatever its ending") {
    const TempDir folder;
    for (const char* name : {"photos/a.png", "photos/b"}) {
        put_file(folder / name, image_file(5, false));
        const io::ImageDataset dataset(folder / name);
        REQUIRE(dataset.size() == 1);
        CHECK(dataset.name(0) == std::filesystem::path(name).filename());
        CHECK(dataset.load(0).height == 5);
        CHECK(dataset.class_names() == std::vector<std::string>{"photos"});
    }
    put_file(folder / "broken.png", "no image");
    const io::ImageDataset broken(folder / "broken.png");
    CHECK(contains(error_text([&] { (void)broken.load(0); }), "broken.png: expected a PNG or JPEG image"));
    CHECK_THROWS_AS(io::ImageDataset(folder / "missing.png"), Error);
}

TEST_CASE("loading errors name the archive and the image") {
    const TempDir folder;
    TarBuilder builder;
    builder.add("a/bad.png", "no image");
    put_file(folder / "data.tar", builder.finish());
    const io::ImageDataset dataset(folder / "data.tar");
    CHECK(error_text([&] { (void)dataset.load(0); }) ==
          (folder / "data.tar").string() + ": a/bad.png: expected a PNG or JPEG image");
    CHECK(contains(error_text([&] { (void)dataset.load(1); }), "expected an image index below 1, found 1"));
    CHECK_THROWS_AS((void)dataset.load(-1), Error);
}

TEST_CASE("a split divides everything, depends on the seed and survives additions") {
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i) {
        names.push_back(flowfar::text("class", i % 4, "/", i, ".png"));
    }
    const TempDir folder;
    const auto open = [&](int count) {
        TarBuilder builder;
        for (int i = 0; i < count; ++i) {
            builder.add(names[static_cast<std::size_t>(i)], "x");
        }
        put_file(folder / "data.tar", builder.finish());
        return io::ImageDataset(folder / "data.tar");
    };
    const io::ImageDataset dataset = open(90);
    const auto [train, validation] = dataset.split(30, 5);
    CHECK(train.size() == 60);
    CHECK(validation.size() == 30);
    CHECK(validation.class_names().size() == 4);
    Listing all = list(train);
    const Listing held_out = list(validation);
    CHECK(std::ranges::is_sorted(all.names));
    CHECK(std::ranges::is_sorted(held_out.names));
    all.names.insert(all.names.end(), held_out.names.begin(), held_out.names.end());
    std::ranges::sort(all.names);
    CHECK(all.names == list(dataset).names);
    for (Index i = 0; i < validation.size(); ++i) {
        CHECK(validation.class_names()[static_cast<std::size_t>(validation.label(i))] ==
              validation.name(i).substr(0, 6));
    }

    CHECK(list(dataset.split(30, 5).validation) == held_out);
    CHECK(list(dataset.split(30, 6).validation) != held_out);
    const Listing grown = list(open(100).split(30, 5).validation);
    std::vector<std::string> common;
    std::ranges::set_intersection(grown.names, held_out.names, std::back_inserter(common));
    CHECK(common.size() >= 20);

    CHECK(dataset.split(0, 1).validation.size() == 0);
    CHECK(dataset.split(90, 1).train.size() == 0);
    CHECK_THROWS_AS((void)dataset.split(91, 1), Error);
    CHECK_THROWS_AS((void)dataset.split(-1, 1), Error);
}

TEST_CASE("a subset keeps the given order") {
    const TempDir folder;
    for (int i = 1; i <= 4; ++i) {
        put_file(folder / flowfar::text(i, ".png"), image_file(i));
    }
    const io::ImageDataset dataset(folder.path());
    const io::ImageDataset part = dataset.subset({3, 0, 3});
    CHECK(part.size() == 3);
    CHECK(part.load(0).height == 4);
    CHECK(part.load(1).height == 1);
    CHECK(part.load(2).height == 4);
    CHECK_THROWS_AS((void)dataset.subset({4}), Error);
}
