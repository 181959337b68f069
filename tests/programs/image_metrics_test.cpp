#include <algorithm>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "flowfar/io/images/image.hpp"

#include "../../examples/programs/common/measures/inception_measures.hpp"
#include "../../examples/programs/common/measures/pair_measures.hpp"
#include "photos.hpp"
#include "process.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
using testing::operator+;
using testing::Outcome;
using testing::run;
using testing::wave_image;

/// Images 0 .. count - 1 as PNG; `seed` tells sets apart.
void write_set(const io::Path& folder, int count, std::uint64_t seed, int height = 20) {
    std::filesystem::create_directories(folder);
    for (int i = 0; i < count; ++i) {
        io::write_png(folder / (std::to_string(i) + ".png"),
                      wave_image(height, 24, seed + static_cast<std::uint64_t>(i)));
    }
}

std::vector<float> planes_of(const io::Path& path) {
    const Image image = io::read_image(path);
    return to_planes({&image, 1});
}

nlohmann::json numbers(const io::Path& path) {
    return nlohmann::json::parse(io::read_text(path));
}

/// Stands for the Inception network: means of 3 rows of each channel, of 4 pixels, and 5 logits.
InceptionOutputs small_network(std::span<const float> input) {
    constexpr std::size_t plane = 299 * 299;
    InceptionOutputs out;
    for (; !input.empty(); input = input.subspan(3 * plane)) {
        for (std::size_t k = 0; k < 9; ++k) {
            float sum = 0;
            for (const float value : input.subspan(k / 3 * plane + k % 3 * 299 * 100, 299)) {
                sum += value / 299;
            }
            out.features.push_back(sum);
        }
        for (std::size_t k = 0; k < 4; ++k) {
            out.spatial.push_back(input[k * 299 * 60 + 7]);
        }
        for (std::size_t k = 0; k < 5; ++k) {
            out.logits.push_back(4 * input[plane + k * 299 * 50 + 100]);
        }
    }
    return out;
}

}  // namespace

TEST_CASE("pairs: the program prints what the library computes") {
    const testing::TempDir folder;
    write_set(folder / "real", 3, 1);
    write_set(folder / "again", 3, 50);
    const Outcome found = run("image_metrics", {(folder / "real").string(), (folder / "again").string(), "--json",
                                                (folder / "out.json").string()});
    REQUIRE_MESSAGE(found.code == 0, found.err);
    CHECK(found.out.find("3 pairs") != std::string::npos);
    metrics::PsnrAverage psnr(2);
    double uniform = 0;
    double gaussian = 0;
    for (const char* name : {"0.png", "1.png", "2.png"}) {
        const std::vector<float> a = planes_of(folder / "real" / name);
        const std::vector<float> b = planes_of(folder / "again" / name);
        psnr.add(a, b);
        uniform += metrics::ssim(a, b, 3, 20, 24, metrics::signed_unit_range) / 3;
        gaussian += metrics::ssim(a, b, 3, 20, 24, metrics::signed_unit_range, metrics::SsimWindow::gaussian11) / 3;
    }
    const nlohmann::json pairs = numbers(folder / "out.json")["pairs"];
    CHECK(pairs["count"] == 3);
    CHECK(pairs["psnr"].get<double>() == doctest::Approx(psnr.per_image()).epsilon(1e-12));
    CHECK(pairs["psnr_of_batch"].get<double>() == doctest::Approx(psnr.per_batch()).epsilon(1e-12));
    CHECK(pairs["ssim_uniform7"].get<double>() == doctest::Approx(uniform).epsilon(1e-12));
    CHECK(pairs["ssim_gaussian11"].get<double>() == doctest::Approx(gaussian).epsilon(1e-12));
    CHECK(!pairs.contains("lpips_vgg"));

    const Outcome one = run("image_metrics", {(folder / "real").string(), (folder / "again").string(), "--count", "1"});
    CHECK(one.out.find("1 pairs") != std::string::npos);
}

TEST_CASE("small and equal pairs: what can be measured is, what cannot is named") {
    const testing::TempDir folder;
    const auto write = [&](const char* set, const char* name, int side, std::uint64_t number) {
        std::filesystem::create_directories(folder / set);
        io::write_png(folder / set / name, wave_image(side, side, number));
    };
    write("a", "equal.png", 16, 1);
    write("b", "equal.png", 16, 1);
    write("a", "eight.png", 8, 2);
    write("b", "eight.png", 8, 3);
    write("a", "six.png", 6, 2);
    write("b", "six.png", 6, 3);
    const Outcome found = run("image_metrics", {(folder / "a").string(), (folder / "b").string(), "--json",
                                                (folder / "out.json").string(), "--lines", (folder / "l").string()});
    REQUIRE_MESSAGE(found.code == 0, found.err);
    CHECK(found.err.find("eight.png: too small for the SSIM of 11 x 11 pixels") != std::string::npos);
    CHECK(found.err.find("six.png: too small for the SSIM of 7 x 7 and 11 x 11 pixels") != std::string::npos);
    const nlohmann::json pairs = numbers(folder / "out.json")["pairs"];
    CHECK(pairs["psnr"] == "inf");
    CHECK(pairs["equal"] == 1);
    CHECK(pairs["psnr_of_different"].get<double>() > 0);
    CHECK(pairs["psnr_of_batch"].is_number());
    CHECK(pairs["ssim_uniform7_count"] == 2);
    CHECK(pairs["ssim_gaussian11_count"] == 1);
    CHECK(pairs["ssim_gaussian11"] == 1.0);
    const std::string lines = io::read_text(folder / "l");
    CHECK(std::ranges::count(lines, '\n') == 3);
    CHECK(lines.find("{\"name\":\"equal.png\",\"psnr\":\"inf\",\"ssim_uniform7\":1.0") != std::string::npos);
    std::filesystem::remove(folder / "a/equal.png");
    std::filesystem::remove(folder / "b/equal.png");
    const Outcome small = run("image_metrics", {(folder / "a").string(), (folder / "b").string()});
    CHECK(small.code == 0);
    CHECK_MESSAGE(small.out.find("not defined below 11 x 11 pixels (11 x 11 Gaussian") != std::string::npos, small.out);
}

TEST_CASE("pairs go by names without endings, in whatever order files sort") {
    const testing::TempDir folder;
    std::filesystem::create_directories(folder / "a");
    std::filesystem::create_directories(folder / "b");
    for (const auto& [name, number] : {std::pair("a", 1), std::pair("a.k", 2)}) {
        const Image image = wave_image(16, 16, static_cast<std::uint64_t>(number));
        io::write_png(folder / "a" / (std::string(name) + ".png"), image);
        io::write_jpeg(folder / "b" / (std::string(name) + ".jpg"), image, 100);
    }
    const Outcome found = run(
        "image_metrics", {(folder / "a").string(), (folder / "b").string(), "--json", (folder / "out.json").string()});
    REQUIRE_MESSAGE(found.code == 0, found.err);
    CHECK(numbers(folder / "out.json")["pairs"]["psnr"].get<double>() > 25);  // other pairs have some 10 dB
}

TEST_CASE("pairs that do not belong together are refused by name") {
    const testing::TempDir folder;
    write_set(folder / "real", 3, 1);
    write_set(folder / "fewer", 2, 1);
    write_set(folder / "higher", 3, 1, 22);
    write_set(folder / "renamed", 3, 1);
    std::filesystem::rename(folder / "renamed" / "1.png", folder / "renamed" / "1b.png");
    const auto against = [&](const char* other, std::vector<std::string> options = {}) {
        return run("image_metrics", std::vector<std::string>{(folder / "real").string(), (folder / other).string()} +
                                        std::move(options));
    };
    CHECK(against("fewer").code == 1);
    CHECK(against("fewer").err.find("3 images in the first set, 2 in the second") != std::string::npos);
    CHECK(against("higher").err.find("0.png has 20 x 24 pixels, 0.png has 22 x 24") != std::string::npos);
    CHECK(against("renamed").err.find("image 1 by name is 1.png in the first set and 1b.png in the second") !=
          std::string::npos);
    CHECK(against("renamed", {"--by-order"}).code == 0);
    CHECK(against("missing").code == 1);
}

TEST_CASE("wrong usage is told before any work") {
    const auto refused = [](std::vector<std::string> options, const std::string& part) {
        const Outcome found = run("image_metrics", std::vector<std::string>{"a", "b"} + std::move(options));
        CHECK(found.code == 2);
        CHECK_MESSAGE(found.err.find(part) != std::string::npos, found.err);
    };
    refused({"--lpips-network", "vgg.pth"}, "--lpips-weights");
    refused({"--no-pairs"}, "--inception");
    refused({"--save-statistics", "out.npz"}, "--inception");
    refused({"--convention", "best"}, "clean-fid");
    refused({"--lpips", "resnet"}, "squeeze");
    CHECK(run("image_metrics", {"reference.npz", "b"}).code == 2);
    const Outcome help = run("image_metrics", {"--help"});
    CHECK(help.code == 0);
    CHECK(help.out.find("--convention") != std::string::npos);
}

TEST_CASE("reference statistics are opened before the network and the images") {
    const testing::TempDir folder;
    const auto refused = [&](const std::string& name, const std::string& part) {
        const Outcome found = run("image_metrics", {(folder / name).string(), (folder / "no images").string(),
                                                    "--inception", (folder / "none.pth").string()});
        CHECK(found.code == 1);
        CHECK_MESSAGE(found.err.find(name + part) != std::string::npos, found.err);
    };
    refused("none.npz", ": cannot open");
    io::write_atomically(folder / "text.npz", std::as_bytes(std::span("no archive", 10)));
    refused("text.npz", ": ");
    io::ReferenceStatistics few;
    few.sets[""] = {5, {1.0, 2.0}, {1.0, 0.0, 0.0, 1.0}};
    io::save_statistics(folder / "few.npz", few);
    refused("few.npz", ": \"mu\" is of 2 features, expected the 2048 of the Inception network");
    few.convention = "torch-fidelity";
    io::save_statistics(folder / "other.npz", few);
    refused("other.npz", ": the statistics follow the convention torch-fidelity, not ");
}

TEST_CASE("missing weights are an error that says where they are found") {
    const testing::TempDir folder;
    write_set(folder / "real", 2, 1);
    const std::string set = (folder / "real").string();
    const Outcome found = run("image_metrics", {set, set, "--no-pairs", "--inception", (folder / "none.pth").string()});
    CHECK(found.code == 1);
    CHECK_MESSAGE(found.err.find("pytorch-fid") != std::string::npos, found.err);
}

TEST_CASE("features of a set do not depend on the batch, and its summary is of all of them") {
    const testing::TempDir folder;
    write_set(folder / "real", 5, 1);
    io::write_png(folder / "real" / "5.png", wave_image(40, 31, 9));  // of another size
    const io::ImageDataset images(folder / "real");
    InceptionJudge judge(small_network, metrics::fid::clean_fid);
    Index seen = 0;
    const InceptionFeatures all = judge.features(images, 100, [&](Index done) { seen = done; });
    CHECK(seen == 6);
    CHECK(all.count == 6);
    CHECK(all.width() == 9);
    CHECK(all.classes() == 5);
    CHECK(all.summary.convention == "clean-fid");
    for (const Index batch : {Index{1}, Index{4}}) {
        const InceptionFeatures again = judge.features(images, batch, [](Index) {});
        CHECK(again.rows == all.rows);
        CHECK(again.logits == all.logits);
        for (std::size_t i = 0; i < 81; ++i) {
            CHECK(again.summary.sets.at("").covariance[i] ==
                  doctest::Approx(all.summary.sets.at("").covariance[i]).epsilon(1e-10));
        }
    }
    metrics::FeatureMoments moments(9);
    moments.add(all.rows);
    CHECK(moments.statistics().mean == all.summary.sets.at("").mean);
    CHECK(all.summary.sets.at("_s").width() == 4);
    InceptionJudge other(small_network, metrics::fid::adm);
    CHECK(other.features(images, 4, [](Index) {}).rows != all.rows);
}

TEST_CASE("distances use what both sides have, and only within one convention") {
    const testing::TempDir folder;
    write_set(folder / "real", 14, 1);
    write_set(folder / "made", 13, 70);
    InceptionJudge judge(small_network, metrics::fid::torch_fidelity);
    const auto real = judge.features(io::ImageDataset(folder / "real"), 8, [](Index) {}).summary;
    const auto made = judge.features(io::ImageDataset(folder / "made"), 8, [](Index) {}).summary;
    const InceptionDistances found = distances_of(real, made, judge.convention());
    CHECK(found.features->value == metrics::frechet_distance(real.sets.at(""), made.sets.at("")).value);
    CHECK(found.features->value > 1e-3);
    CHECK(found.features->warning.empty());
    CHECK(found.spatial->value == metrics::frechet_distance(real.sets.at("_s"), made.sets.at("_s")).value);
    io::save_statistics(folder / "real.npz", real);
    io::ReferenceStatistics stored = io::load_statistics(folder / "real.npz");
    CHECK(distances_of(stored, made, judge.convention()).features->value == found.features->value);
    CHECK_THROWS_WITH_AS((void)distances_of(stored, made, metrics::fid::adm),
                         "the statistics follow the convention torch-fidelity, not adm", Error);
    stored.sets.erase("_s");
    stored.convention.clear();  // as in files of other programs
    CHECK(!distances_of(stored, made, judge.convention()).spatial);
}
