#include "../../examples/programs/common/cli/jsonl.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <unistd.h>

#include "flowfar/core/error.hpp"

namespace {

using namespace flowfar::program;

/// A directory of its own for one test, removed afterwards.
struct TemporaryDirectory {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("flowfar-jsonl-" + std::to_string(::getpid()));
    TemporaryDirectory() { std::filesystem::create_directories(path); }
    ~TemporaryDirectory() { std::filesystem::remove_all(path); }
};

void put(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}
std::string get(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("each line is in the file at once, keys in order, NaN as null") {
    const TemporaryDirectory directory;
    const auto path = directory.path / "log.jsonl";
    put(path, "old\n");
    std::ifstream reader(path, std::ios::binary);
    JsonlWriter writer = JsonlWriter::create(path);
    CHECK(get(path).empty());
    CHECK(std::string{std::istreambuf_iterator<char>(reader), {}} == "old\n");  // replaced, not overwritten
    writer.write({{"step", 1}, {"loss", 0.5}, {"alpha", "x"}});
    CHECK(get(path) == "{\"step\":1,\"loss\":0.5,\"alpha\":\"x\"}\n");
    writer.write({{"step", 2}, {"loss", std::nan("")}});
    const auto lines = read_jsonl(path);
    REQUIRE(lines.size() == 2);
    const Curve curve = curve_of(lines, "step", "loss");
    CHECK(curve.x == std::vector<double>{1, 2});
    CHECK(curve.y[0] == 0.5);
    CHECK(std::isnan(curve.y[1]));
    CHECK(curve_of(lines, "step", "psnr").x.empty());
}

TEST_CASE("resuming drops later steps and a torn line, and appends") {
    const TemporaryDirectory directory;
    const auto path = directory.path / "log.jsonl";
    put(path,
        "{\"event\":\"start\"}\n{\"step\":10,\"loss\":0.1}\n\n{\"step\":20,\"loss\":0.30000000000000004}\n"
        "{\"step\":21}\n{\"event\":\"later\"}\n{\"step\":30,\"lo");
    {
        JsonlWriter writer = JsonlWriter::resume(path, 20);
        CHECK(get(path) ==
              "{\"event\":\"start\"}\n{\"step\":10,\"loss\":0.1}\n{\"step\":20,\"loss\":0.30000000000000004}\n"
              "{\"event\":\"later\"}\n");
        writer.write({{"step", 21}});
    }
    CHECK(read_jsonl(path).size() == 5);
    static_cast<void>(JsonlWriter::resume(path, 0));
    CHECK(get(path) == "{\"event\":\"start\"}\n{\"event\":\"later\"}\n");
}

TEST_CASE("resuming without a log starts one") {
    const TemporaryDirectory directory;
    const auto path = directory.path / "new.jsonl";
    JsonlWriter writer = JsonlWriter::resume(path, 100);
    writer.write({{"step", 101}});
    CHECK(get(path) == "{\"step\":101}\n");
}

TEST_CASE("damage is named and never repaired silently") {
    const TemporaryDirectory directory;
    const auto path = directory.path / "bad.jsonl";
    const std::string bytes = "{\"step\":1}\n{\"step\":\n{\"step\":3}\n";
    put(path, bytes);
    CHECK_THROWS_WITH_AS(static_cast<void>(read_jsonl(path)),
                         (path.string() + ", line 2: expected a JSON object, found \"{\"step\":\"").c_str(),
                         flowfar::Error);
    CHECK_THROWS_AS(static_cast<void>(JsonlWriter::resume(path, 1)), flowfar::Error);
    CHECK(get(path) == bytes);
    put(path, "[1]\n");
    CHECK_THROWS_AS(static_cast<void>(read_jsonl(path)), flowfar::Error);
    CHECK_THROWS_AS(static_cast<void>(read_jsonl(directory.path / "none")), flowfar::Error);
    CHECK_THROWS_AS(static_cast<void>(JsonlWriter::create(directory.path / "no" / "where")), flowfar::Error);
}

}  // namespace
