// checkpoint_tool: differences that rounding could hide, what conversions change, and files out of proportion.

#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "../io/io_support.hpp"
#include "../io/torch_builder.hpp"
#include "../io/zip_builder.hpp"
#include "process.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

Outcome tool(const std::vector<std::string>& arguments) {
    return testing::run("checkpoint_tool", arguments);
}

template <class T>
std::string with_tensor(const fs::path& path, const std::vector<T>& values) {
    io::SafetensorsWriter writer(path);
    writer.declare("t", dtype_of<T>, {static_cast<Index>(values.size())});
    writer.write_values<T>("t", values);
    writer.finish();
    return path.string();
}

/// A file with one element of each type.
std::string with_types(const fs::path& path, const std::vector<std::pair<std::string, std::size_t>>& types) {
    std::string header = "{";
    std::size_t end = 0;
    for (const auto& [type, size] : types) {
        header += text(end == 0 ? "" : ",", "\"of ", type, "\":{\"dtype\":\"", type,
                       "\",\"shape\":[1],\"data_offsets\":[", end, ',', end + size, "]}");
        end += size;
    }
    header += "}";
    std::string file;
    put_number(file, header.size(), 8);
    put_file(path, file + header + std::string(end, '\1'));
    return path.string();
}

/// A checkpoint of a kilobyte with tensors of 4 Mi elements, all of them the same one.
std::string with_repetitions(const fs::path& path, int tensors) {
    TorchBuilder builder;
    builder.shape = {Index{1} << 22};
    builder.strides = {0};
    std::string pickle = "\x80\x02}(";
    for (int i = 0; i < tensors; ++i) {
        pickle += TorchBuilder::string(text("t", i)) + builder.tensor();
    }
    ZipBuilder zip;
    zip.add("any/data.pkl", pickle + "u.");
    zip.add("any/data/0", builder.storage);
    put_file(path, zip.finish());
    return path.string();
}

}  // namespace

TEST_CASE("without a tolerance, nothing that differs is the same") {
    const TempDir folder;
    const float infinity = std::numeric_limits<float>::infinity();
    const std::int64_t large = std::int64_t{1} << 53;
    const auto differ = [&]<class T>(const std::vector<T>& a, const std::vector<T>& b, const std::string& shown) {
        const std::string first = with_tensor(folder / "a.safetensors", a);
        const Outcome found = tool({"diff", first, with_tensor(folder / "b.safetensors", b)});
        CAPTURE(found.out);
        CHECK(found.code == 1);
        CHECK(contains(found.out, shown));
        CHECK(contains(found.out, "1 tensors compared, 0 equal: different\n"));
        CHECK(tool({"diff", first, first}).code == 0);
    };
    differ(std::vector<float>{infinity, 1, 2}, {infinity, 100, -7},
           "2 elements differ, largest difference 99, relative 44.4567\n");
    differ(std::vector<double>{1e200, 1}, {1e200, 5}, "1 elements differ, largest difference 4, relative 4e-200\n");
    differ(std::vector<double>{1e308, 1e-300}, {1e308, 2e-300}, "1 elements differ, largest difference 1e-300");
    differ(std::vector<double>{1e308, 1e308}, {1e308, 0.9e308}, "relative 0.0707107\n");
    differ(std::vector<std::int64_t>{large, 3}, {large + 1, 3},
           "1 elements differ, largest difference 1, relative 1.1");
    differ(std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::min()},
           {std::numeric_limits<std::int64_t>::max()}, "largest difference 1.84467e+19, relative 2\n");
    CHECK(tool({"diff", with_tensor<double>(folder / "a", {1e200, 1}), with_tensor<double>(folder / "b", {1e200, 5}),
                "--tolerance", "1e-100"})
              .code == 0);
}

TEST_CASE("doubles beyond the range of float are counted when they become infinite") {
    const TempDir folder;
    const std::string file = with_tensor<double>(folder / "a.safetensors", {1e300, 1, -4e38, 3e38});
    for (const char* const type : {"f32", "bf16"}) {
        const Outcome found = tool({"convert", file, "-o", (folder / "b.pth").string(), "--dtype", type});
        CHECK(found.code == 0);
        CHECK(found.err == text("warning: 2 values were too large for ", type, " and became infinite\n"));
    }
}

TEST_CASE("tensors that repeat their elements may not outgrow the file by far") {
    const TempDir folder;
    const std::string few = with_repetitions(folder / "few.pth", 4);
    const std::string many = with_repetitions(folder / "many.pth", 5);
    const std::string out = (folder / "out.safetensors").string();
    CHECK(tool({"verify", few}).code == 0);
    CHECK(tool({"verify", many, "--filter", "t1"}).code == 0);
    CHECK(tool({"list", many}).code == 0);
    const std::vector<std::vector<std::string>> refused{{"verify", many},
                                                        {"convert", many, "-o", out},
                                                        {"extract", many, "-o", out},
                                                        {"diff", many, few},
                                                        {"diff", few, many}};
    for (const std::vector<std::string>& arguments : refused) {
        const Outcome found = tool(arguments);
        CAPTURE(found.err);
        CHECK(found.code == 1);
        CHECK(contains(found.err,
                       many + ": refused: its tensors take 83.9 MB, but the file has 1.1 kB; the limit is 67.1 MB"));
    }
    CHECK_FALSE(fs::exists(out));
}

TEST_CASE("convert keeps names as they are, and extract removes what wrappers added") {
    const TempDir folder;
    const std::string wrapped = (folder / "wrapped.pth").string();
    io::TorchWriter writer(wrapped);
    writer.select("model");
    writer.declare("module._orig_mod.weight", DType::f32, {1});
    writer.write_values<float>("module._orig_mod.weight", std::vector<float>{1});
    writer.finish();
    const std::string out = (folder / "out.safetensors").string();
    REQUIRE(tool({"convert", wrapped, "-o", out}).code == 0);
    CHECK(io::SafetensorsFile(out).names() == std::vector<std::string>{"model.module._orig_mod.weight"});
    REQUIRE(tool({"convert", wrapped, "-o", out, "--root", "model"}).code == 0);
    CHECK(io::SafetensorsFile(out).names() == std::vector<std::string>{"module._orig_mod.weight"});
    REQUIRE(tool({"extract", wrapped, "-o", out}).code == 0);
    CHECK(io::SafetensorsFile(out).names() == std::vector<std::string>{"weight"});
    CHECK(tool({"diff", wrapped, out, "--root", "model"}).code == 0);
}

TEST_CASE("the settings of a training run stay with the weights") {
    const TempDir folder;
    const auto pair = [](const std::string& key, const std::string& value) {
        return TorchBuilder::string(key) + value;
    };
    const std::string settings = "cargparse\nNamespace\n)\x81}(" + pair("mask", "\x88") + pair("epochs", "K\x05") +
                                 pair("name", TorchBuilder::string("a\xff"
                                                                   "b")) +
                                 pair(std::string(70, 'n'), TorchBuilder::string(std::string(300, 'v'))) + "ub";
    ZipBuilder zip;
    const TorchBuilder builder;
    zip.add("any/data.pkl",
            "\x80\x02}(" + pair("w", builder.tensor()) + pair("epoch", "K\x05") + pair("args", settings) + "u.");
    zip.add("any/data/0", builder.storage);
    put_file(folder / "a.pth", zip.finish());
    const std::string out = (folder / "out.safetensors").string();
    for (const char* const command : {"convert", "extract"}) {
        const Outcome found = tool({command, (folder / "a.pth").string(), "-o", out});
        CAPTURE(found.err);
        REQUIRE(found.code == 0);
        const std::map<std::string, std::string> metadata = io::SafetensorsFile(out).metadata();
        CHECK(metadata.at("args.mask") == "True");
        CHECK(metadata.at("args.epochs") == "5");
        CHECK_FALSE(metadata.contains("epoch"));
        CHECK_FALSE(metadata.contains("args.name"));  // not UTF-8
    }
    const Outcome back = tool({"convert", out, "-o", (folder / "b.pth").string()});
    CHECK(back.code == 0);
    CHECK(back.err == "note: metadata and settings are not kept in this format\n");
}

TEST_CASE("integers that are widened are reported") {
    const TempDir folder;
    const std::string file = with_types(folder / "a.safetensors", {{"I32", 4}, {"BOOL", 1}, {"U16", 2}, {"F32", 4}});
    const Outcome found = tool({"convert", file, "-o", (folder / "b.safetensors").string()});
    CHECK(found.code == 0);
    CHECK(found.err == "note: the element type of 3 tensors was widened (1 BOOL to U8, 1 I32 to I64, 1 U16 to I64)\n");
    CHECK(tool({"convert", (folder / "b.safetensors").string(), "-o", (folder / "c.pth").string()}).err.empty());
}

TEST_CASE("verify fails where it could not look") {
    const TempDir folder;
    const Outcome found = tool({"verify", with_types(folder / "a.safetensors", {{"F32", 4}, {"F8_E4M3", 1}})});
    CHECK(found.code == 1);
    CHECK(contains(found.out, "not checked: "));
    CHECK(
        found.out.ends_with("1 tensors checked, 0 with NaN or infinities, 1 not checked: INCOMPLETE because 1 tensors "
                            "cannot be read here\n"));
    CHECK(contains(tool({"--help"}).out, "cannot be checked"));
    const std::string nan = with_tensor<float>(folder / "nan.safetensors", {NAN});
    CHECK(contains(tool({"verify", nan}).out, "t: 1 NaN, 0 infinite, no finite value\n"));
    CHECK(tool({"verify", nan, "--filter", "other"}).code == 1);  // nothing to check
}

TEST_CASE("work on large files shows how far it is") {
    const TempDir folder;
    const std::string large = (folder / "large.safetensors").string();
    std::string header = "{";
    constexpr std::size_t size = std::size_t{1} << 22;
    for (std::size_t i = 0; i < 64; ++i) {
        header += text(i == 0 ? "" : ",", "\"t", i, "\":{\"dtype\":\"F32\",\"shape\":[1048576],\"data_offsets\":[",
                       i * size, ',', (i + 1) * size, "]}");
    }
    header += '}';
    std::string file;
    put_number(file, header.size(), 8);
    put_file(large, file + header);
    fs::resize_file(large, 8 + header.size() + 64 * size);  // zeros, without taking room
    CHECK(contains(tool({"verify", large}).err, "MB verified 268/268 (100%)"));
    CHECK(contains(tool({"diff", large, large}).err, "MB compared 268/268 (100%)"));
    const std::string converted = (folder / "b.pth").string();
    CHECK(contains(tool({"convert", large, "-o", converted, "--dtype", "f16"}).err, "MB copied 268/268 (100%)"));
    CHECK(tool({"verify", converted}).err.empty());
}
