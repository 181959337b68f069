#include "flowfar/checkpoints/feature_statistics.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "flowfar/metrics/frechet.hpp"

#include "io/io_support.hpp"
#include "metrics/feature_rows.hpp"
#include "temp_dir.hpp"

namespace {

using namespace flowfar;
using metrics::FeatureMoments;
using metrics::FeatureStatistics;

FeatureStatistics statistics(std::string_view name, std::size_t count, std::size_t width) {
    FeatureMoments moments(static_cast<Index>(width));
    moments.add(testing::feature_rows(name, count, width));
    return moments.statistics();
}

}  // namespace

TEST_CASE("statistics survive a file to the bit") {
    const testing::TempDir folder;
    const io::Path path = folder / "reference.npz";
    const io::ReferenceStatistics written{
        {{"", statistics("metrics.real", 50, 6)}, {"_s", statistics("metrics.generated", 50, 4)}}, "clean-fid"};
    io::save_statistics(path, written);
    const io::ReferenceStatistics read = io::load_statistics(path);
    CHECK(read.convention == "clean-fid");
    REQUIRE(read.sets.size() == 2);
    for (const auto& [key, set] : written.sets) {
        CHECK(read.sets.at(key).count == 50);
        CHECK(read.sets.at(key).mean == set.mean);
        CHECK(read.sets.at(key).covariance == set.covariance);
    }
    CHECK(metrics::frechet_distance(read.sets.at(""), written.sets.at("")).value < 1e-10);
}

TEST_CASE("files of other programs have mu and sigma only, perhaps in float and beside other arrays") {
    const testing::TempDir folder;
    const io::Path path = folder / "other.npz";
    const std::vector<float> mean{0.5F, 0.25F};
    const std::vector<double> covariance{2, 1, 1, 3};
    io::NpzWriter file(path);
    file.add("arr_0", std::span<const float>(mean), {2});
    file.add("mu", std::span<const float>(mean), {2});
    file.add("sigma", std::span<const double>(covariance), {2, 2});
    file.finish();
    const io::ReferenceStatistics read = io::load_statistics(path);
    CHECK(read.convention.empty());
    REQUIRE(read.sets.size() == 1);
    CHECK(read.sets.at("").count == 0);
    CHECK(read.sets.at("").mean == std::vector<double>{0.5, 0.25});
    CHECK(read.sets.at("").covariance == covariance);
}

TEST_CASE("statistics that are not finite, too wide or too many are refused") {
    const testing::TempDir folder;
    const io::Path path = folder / "bad.npz";
    const auto refusal = [&](const std::vector<std::vector<double>>& means, const std::vector<double>& covariance) {
        io::NpzWriter file(path);
        for (std::size_t i = 0; i < means.size(); ++i) {
            const std::string key = i == 0 ? "" : std::to_string(i);
            const auto width = static_cast<Index>(means[i].size());
            file.add("mu" + key, std::span<const double>(means[i]), {width});
            const auto side = static_cast<Index>(covariance.size()) == width * width ? width : 1;
            file.add("sigma" + key, std::span<const double>(covariance), {side, side});
        }
        file.finish();
        return testing::error_text([&] { (void)io::load_statistics(path); });
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::string where = path.string() + ": array ";
    CHECK(refusal({{1.0, 2.0}}, {1, 0, 0, 1}) == "no error");
    CHECK(refusal({{1.0, nan}}, {1, 0, 0, 1}) == where + "\"mu\": value 1 is not finite");
    CHECK(refusal({{1.0, 2.0}}, {1, 0, INFINITY, 1}) == where + "\"sigma\": value 2 is not finite");
    CHECK(refusal({std::vector<double>(8193)}, {1}) == where + "\"mu\": 8193 features, expected 1 to 8192");
    CHECK(refusal({{}}, {}) == where + "\"mu\": 0 features, expected 1 to 8192");
    const std::vector<double> pair{1.0, 2.0};
    const auto sets = [&](std::size_t count) {
        static_cast<void>(refusal(std::vector<std::vector<double>>(count, pair), {1, 0, 0, 1}));
        return testing::error_text([&] { (void)io::load_statistics(io::NpzFile(path), 2); });
    };
    CHECK(sets(2) == "no error");
    CHECK(sets(3) == path.string() + ": more than 8 values in all sets of statistics");
}

TEST_CASE("files that hold something else are refused by name") {
    const testing::TempDir folder;
    const std::vector<double> numbers{1, 2, 3, 4};
    const auto write = [&](std::vector<Index> mean, std::vector<Index> covariance) {
        io::NpzWriter file(folder / "bad.npz");
        file.add("mu", std::span<const double>(numbers), std::move(mean));
        file.add("sigma", std::span<const double>(numbers), std::move(covariance));
        file.finish();
    };
    write({4}, {2, 2});
    CHECK_THROWS_AS((void)io::load_statistics(folder / "bad.npz"), Error);
    write({2, 2}, {2, 2});
    CHECK_THROWS_AS((void)io::load_statistics(folder / "bad.npz"), Error);
    io::NpzWriter file(folder / "bad.npz");
    file.add("mu", std::span<const double>(numbers), {4});
    file.finish();
    const std::string expected = (folder / "bad.npz").string() + ": expected arrays \"mu\" and \"sigma\"";
    CHECK_THROWS_WITH_AS((void)io::load_statistics(folder / "bad.npz"), expected.c_str(), Error);
    CHECK_THROWS_AS((void)io::load_statistics(folder / "missing.npz"), Error);
    CHECK_THROWS_AS(io::save_statistics(folder / "out.npz", {}), Error);
    const io::ReferenceStatistics uneven{
        {{"", statistics("metrics.real", 50, 6)}, {"_s", statistics("metrics.generated", 51, 4)}}, ""};
    CHECK_THROWS_AS(io::save_statistics(folder / "out.npz", uneven), Error);
}
