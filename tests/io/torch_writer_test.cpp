#include "flowfar/io/tensors/torch_writer.hpp"

#include <cstdint>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <string>
#include <vector>

#include "flowfar/io/tensors/torch_checkpoint.hpp"

#include "folders.hpp"
#include "io_support.hpp"
#include "support/temp_dir.hpp"

using flowfar::bf16;
using flowfar::DType;
using flowfar::Error;
using flowfar::f16;
using flowfar::Index;
using flowfar::text;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;

namespace {

void write_part(io::TorchWriter& writer) {
    writer.write_values<float>("f32", std::vector<float>{1.5F, -2.0F, 3.0F, 0.25F, 5.0F, 6.0F});
    writer.write_values<double>("f64", std::vector<double>{0.1, -1e300});
    writer.write_values<Index>("scalar", std::vector<Index>{-(Index{1} << 53) - 1});
    writer.write_values<float>("none", {});
    writer.write_values<bf16>("bf16", std::vector<bf16>{bf16(1.0F), bf16(-3.0F)});
    writer.write_values<f16>("f16", std::vector<f16>{f16(0.5F)});
    writer.write_values<std::uint8_t>("bytes \xE2\x82\xAC", std::vector<std::uint8_t>{0, 7, 255});
}

void declare_part(io::TorchWriter& writer) {
    writer.declare("f32", DType::f32, {3, 1, 2});
    writer.declare("f64", DType::f64, {2, 1});
    writer.declare("scalar", DType::i64, {});
    writer.declare("none", DType::f32, {2, 0, 5});
    writer.declare("bf16", DType::bf16, {2});
    writer.declare("f16", DType::f16, {1});
    writer.declare("bytes \xE2\x82\xAC", DType::u8, {1, 3});
}

void write_single(const fs::path& path) {
    io::TorchWriter writer(path);
    declare_part(writer);
    write_part(writer);
    writer.finish();
}

void write_nested(const fs::path& path) {
    io::TorchWriter writer(path, "model");
    declare_part(writer);
    writer.select("model_ema");
    declare_part(writer);
    writer.note("epoch", 12);
    writer.note("total_steps", Index{1} << 40);
    write_part(writer);
    write_part(writer);
    writer.finish();
}

}  // namespace

TEST_CASE("what was written is read back, for every element type") {
    const TempDir folder;
    write_single(folder / "a.pth");
    const io::TorchCheckpoint file(folder / "a.pth");
    CHECK(file.names() ==
          std::vector<std::string>{"f32", "f64", "scalar", "none", "bf16", "f16", "bytes \xE2\x82\xAC"});
    io::Scratch scratch;
    CHECK(io::values<float>(file.at("f32", scratch)) == std::vector<float>{1.5F, -2.0F, 3.0F, 0.25F, 5.0F, 6.0F});
    CHECK(file.at("f32", scratch).shape == std::vector<Index>{3, 1, 2});
    CHECK(file.tensor("f32").strides == std::vector<Index>{2, 2, 1});
    CHECK(io::values<double>(file.at("f64", scratch)) == std::vector<double>{0.1, -1e300});
    CHECK(io::values<Index>(file.at("scalar", scratch)) == std::vector<Index>{-(Index{1} << 53) - 1});
    CHECK(file.at("none", scratch).shape == std::vector<Index>{2, 0, 5});
    CHECK(io::values<float>(file.at("bf16", scratch)) == std::vector<float>{1.0F, -3.0F});
    CHECK(io::values<float>(file.at("f16", scratch)) == std::vector<float>{0.5F});
    CHECK(io::values<std::uint8_t>(file.at("bytes \xE2\x82\xAC", scratch)) == std::vector<std::uint8_t>{0, 7, 255});
    CHECK(scratch.empty());
    file.verify();
}

TEST_CASE("files of several parts") {
    const TempDir folder;
    write_nested(folder / "a.pth");
    const io::TorchCheckpoint file(folder / "a.pth");
    CHECK(file.names().size() == 14);
    CHECK(file.contains("model.f32"));
    CHECK(file.contains("model_ema.f16"));
    CHECK(file.values() ==
          std::vector<std::pair<std::string, std::string>>{{"epoch", "12"}, {"total_steps", "1099511627776"}});
}

TEST_CASE("misuse is an error and leaves no file") {
    const TempDir folder;
    const fs::path path = folder / "a.pth";
    const auto error = [&](auto&& use) {
        return error_text([&] {
            io::TorchWriter writer(path);
            writer.declare("a", DType::f32, {2});
            use(writer);
        });
    };
    CHECK(contains(error([](auto& w) { w.declare("a", DType::f32, {2}); }), "a.pth: tensor \"a\": declared twice"));
    CHECK(contains(error([](auto& w) { w.declare("b", DType::f32, {-1}); }), "negative extent"));
    CHECK(contains(error([](auto& w) { w.declare("b", DType::f32, {Index{1} << 62}); }), "too large"));
    CHECK(contains(error([](auto& w) { w.declare("caf\xe9", DType::f32, {1}); }), "is not valid UTF-8"));
    CHECK(contains(error([](auto& w) { w.note("caf\xe9", 1); }), "is not valid UTF-8"));
    CHECK(contains(error([](auto& w) { w.finish(); }), "1 tensors are missing"));
    CHECK(contains(error([](auto& w) { w.write("b", {}); }), "expected the bytes of tensor \"a\" next"));
    CHECK(contains(error([](auto& w) { w.write("a", {}); }), "expected 8 bytes, found 0"));
    CHECK(contains(error([](auto& w) {
                       w.select("part");
                       w.declare("b", DType::f32, {2});
                   }),
                   "parts and tensors outside of parts are mixed"));
    CHECK(contains(error([](auto& w) {
                       w.note("epoch", 1);
                       w.finish();
                   }),
                   "need a root"));
    CHECK(contains(error([](auto& w) { w.template write_values<double>("a", std::vector<double>{1, 2}); }),
                   "values of type F64 were not declared next"));
    CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("PyTorch reads the files with weights_only=True") {
    const char* const python = std::getenv("FLOWFAR_TORCH_PYTHON");
    if (python == nullptr) {
        MESSAGE("NOT RUN: FLOWFAR_TORCH_PYTHON names no Python with PyTorch");
        return;
    }
    const TempDir folder;
    write_single(folder / "single.pth");
    write_nested(folder / "nested.pth");
    const fs::path script = flowfar::testing::source_folder() / "tests" / "io" / "data" / "make_torch_files.py";
    const auto check = [&](const char* name) {
        const std::string command =
            text(python, " ", script.string(), " --check ", (folder / name).string(), " > ", (folder / "out").string());
        CHECK(std::system(command.c_str()) == 0);
        return io::read_text(folder / "out");
    };
    const std::string part = "f32 float32 [3, 1, 2] True 13.75\n";
    const std::string single = check("single.pth");
    CAPTURE(single);
    CHECK(single.starts_with(part));
    CHECK(contains(single, "\nmapped." + part));
    CHECK(contains(single, "\nf64 float64 [2, 1] True -1e+300\n"));
    CHECK(contains(single, "\nscalar int64 [] True -9007199254740992.0\n"));
    CHECK(contains(single, "\nnone float32 [2, 0, 5] True 0.0\n"));
    CHECK(contains(single, "\nbf16 bfloat16 [2] True -2.0\n"));
    CHECK(contains(single, "\nf16 float16 [1] True 0.5\n"));
    CHECK(contains(single, "\nbytes \xE2\x82\xAC uint8 [1, 3] True 262.0\n"));
    const std::string nested = check("nested.pth");
    CHECK(contains(nested, "model." + part));
    CHECK(contains(nested, "model_ema." + part));
    CHECK(contains(nested, "epoch 12\n"));
    CHECK(contains(nested, "total_steps 1099511627776\n"));
}
