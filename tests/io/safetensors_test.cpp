#include "flowfar/io/tensors/safetensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <doctest/doctest.h>
#include <filesystem>
#include <iterator>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io_support.hpp"
#include "support/golden_folders.hpp"
#include "support/temp_dir.hpp"

using flowfar::bf16;
using flowfar::DType;
using flowfar::Error;
using flowfar::f16;
using flowfar::Index;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;

namespace {

/// A file with the given header text and `data_size` data bytes 0, 1, 2, ...
std::string raw_file(const std::string& header, std::size_t data_size) {
    std::string out(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(out.data(), &length, sizeof length);
    out += header;
    for (std::size_t i = 0; i < data_size; ++i) {
        out += static_cast<char>(i);
    }
    return out;
}

std::string open_error(const TempDir& folder, const std::string& content) {
    put_file(folder / "x.safetensors", content);
    return error_text([&] { io::SafetensorsFile file(folder / "x.safetensors"); });
}

std::string header_error(const TempDir& folder, const std::string& header, std::size_t data_size) {
    return open_error(folder, raw_file(header, data_size));
}

/// Writes one small file with every element type; the second tensor is at an odd multiple of 4 bytes.
void write_sample(const fs::path& path) {
    io::SafetensorsWriter writer(path, {{"format", "pt"}, {"note", "\"quoted\" \n \xC3\xA9"}});
    writer.declare("f32", DType::f32, {3});
    writer.declare("f64", DType::f64, {2, 1});
    writer.declare("scalar", DType::i64, {});
    writer.declare("none", DType::f32, {2, 0, 5});
    writer.declare("bf16", DType::bf16, {2});
    writer.declare("f16", DType::f16, {1});
    writer.declare("bytes \xE2\x82\xAC", DType::u8, {1, 3});
    writer.write_values<float>("f32", std::vector<float>{1.5F, -2.0F, 1e-40F});
    writer.write_values<double>("f64", std::vector<double>{0.1, -1e300});
    writer.write_values<Index>("scalar", std::vector<Index>{-(Index{1} << 53) - 1});
    writer.write_values<bf16>("bf16", std::vector<bf16>{bf16(1.0F), bf16(-3.0F)});
    writer.write_values<f16>("f16", std::vector<f16>{f16(0.5F)});
    writer.write_values<std::uint8_t>("bytes \xE2\x82\xAC", std::vector<std::uint8_t>{0, 7, 255});
    writer.finish();
}

}  // namespace

TEST_CASE("what was written is read back, for every element type") {
    const TempDir folder;
    write_sample(folder / "sample.safetensors");
    const io::SafetensorsFile file(folder / "sample.safetensors");
    CHECK(file.names().size() == 7);
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.metadata().at("note") == "\"quoted\" \n \xC3\xA9");
    CHECK(file.contains("f64"));
    CHECK_FALSE(file.contains("f65"));
    CHECK(io::values<float>(file.at("f32")) == std::vector<float>{1.5F, -2.0F, 1e-40F});
    CHECK(io::values<double>(file.at("f32")) == std::vector<double>{1.5, -2.0, double{1e-40F}});
    CHECK(io::values<double>(file.at("f64")) == std::vector<double>{0.1, -1e300});
    CHECK(io::values<float>(file.at("f64")) == std::vector<float>{0.1F, -std::numeric_limits<float>::infinity()});
    CHECK(io::values<Index>(file.at("scalar")) == std::vector<Index>{-(Index{1} << 53) - 1});
    CHECK(io::values<float>(file.at("bf16")) == std::vector<float>{1.0F, -3.0F});
    CHECK(io::values<bf16>(file.at("bf16"))[1].bits == bf16(-3.0F).bits);
    CHECK(io::values<double>(file.at("f16")) == std::vector<double>{0.5});
    CHECK(io::values<Index>(file.at("bytes \xE2\x82\xAC")) == std::vector<Index>{0, 7, 255});
    CHECK(io::values<std::uint8_t>(file.at("bytes \xE2\x82\xAC")) == std::vector<std::uint8_t>{0, 7, 255});
    CHECK(io::values<float>(file.at("none")).empty());
    CHECK(file.at("none").shape == std::vector<Index>{2, 0, 5});
    CHECK(file.at("scalar").shape.empty());
    CHECK(file.at("f64").shape == std::vector<Index>{2, 1});
    CHECK(file.at("f64").dtype == DType::f64);
}

TEST_CASE("the data section begins at a multiple of 8 and tensors keep the declared order") {
    const TempDir folder;
    for (int length = 1; length <= 9; ++length) {
        const fs::path path = folder / "aligned.safetensors";
        io::SafetensorsWriter writer(path);
        writer.declare(std::string(static_cast<std::size_t>(length), 'z'), DType::u8, {1});
        writer.declare("a", DType::u8, {1});
        writer.write(std::string(static_cast<std::size_t>(length), 'z'), to_bytes("1"));
        writer.write("a", to_bytes("2"));
        writer.finish();
        const io::MappedFile raw(path);
        CHECK((raw.size() - 2) % 8 == 0);
        CHECK(io::SafetensorsFile(path).names().back() == "a");
    }
}

TEST_CASE("element_count multiplies extents and notices what cannot be") {
    using Extents = std::vector<Index>;
    CHECK(io::element_count(Extents{}, "x") == 1);
    CHECK(io::element_count(Extents{3, 4, 5}, "x") == 60);
    CHECK(io::element_count(Extents{Index{1} << 40, Index{1} << 40, 0}, "x") == 0);
    CHECK(io::element_count(Extents{0, Index{1} << 40, Index{1} << 40}, "x") == 0);
    CHECK(io::element_count(Extents{std::numeric_limits<Index>::max(), 1}, "x") == std::numeric_limits<Index>::max());
    CHECK(error_text([] { (void)io::element_count(Extents{Index{1} << 32, Index{1} << 31}, "x"); }) ==
          "x: the number of elements exceeds 2^63 - 1");
    CHECK(error_text([] { (void)io::element_count(Extents{0, -2}, "x"); }) == "x: negative extent -2");
}

TEST_CASE("errors name file, tensor, expected and found") {
    const TempDir folder;
    const fs::path path = folder / "sample.safetensors";
    write_sample(path);
    const io::SafetensorsFile file(path);
    CHECK(error_text([&] { (void)file.at("absent"); }) == path.string() + ": tensor \"absent\": no such tensor");
    CHECK(error_text([&] { (void)io::values<Index>(file.at("f32")); }) ==
          path.string() + ": tensor \"f32\": expected elements that convert to I64, found F32");
    CHECK(contains(error_text([&] { (void)io::values<float>(file.at("scalar")); }), "convert to F32, found I64"));
    CHECK(contains(error_text([&] { (void)io::values<bf16>(file.at("f32")); }), "convert to BF16, found F32"));
}

TEST_CASE("types of the format that the library lacks are listed and refused by name") {
    const TempDir folder;
    const std::string header =
        R"({"i":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"q":{"dtype":"F4","shape":[2],"data_offsets":[4,5]}})";
    put_file(folder / "i.safetensors", raw_file(header, 5));
    const io::SafetensorsFile file(folder / "i.safetensors");
    CHECK(file.names() == std::vector<std::string>{"i", "q"});
    CHECK(contains(error_text([&] { (void)file.at("i"); }), "tensor \"i\": elements of type I32 are not supported"));
}

TEST_CASE("a tensor of unknown type, or with a field of unknown meaning, spares the others") {
    const TempDir folder;
    const std::string header =
        R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
        R"("b":{"dtype":"F8_E4M3FNUZ","shape":[3],"data_offsets":[4,7]},)"
        R"("c":{"dtype":"F32","more":{"x":[1,{"y":null}],"z":"w"},"shape":[1],"data_offsets":[7,11]},)"
        R"("d":{"more":1,"dtype":"BF16","shape":[1],"data_offsets":[11,13]}})";
    std::string file(8, '\0');
    file[0] = static_cast<char>(header.size() % 256);
    file[1] = static_cast<char>(header.size() / 256);
    put_file(folder / "x.safetensors", file + header + std::string(13, '\0'));
    const io::SafetensorsFile weights(folder / "x.safetensors");
    CHECK(io::values<float>(weights.at("a")) == std::vector<float>{0.0F});
    CHECK(weights.info("b").type == "F8_E4M3FNUZ");
    using Unread = std::vector<std::pair<std::string, std::string>>;
    CHECK(weights.unread() == Unread{{"b", "elements of type F8_E4M3FNUZ"},
                                     {"c", "elements of type F32 with the field \"more\""},
                                     {"d", "elements of type BF16 with the field \"more\""}});
    CHECK(contains(error_text([&] { (void)weights.at("c"); }), "with the field \"more\" are not supported"));
}

TEST_CASE("hostile and damaged headers are refused") {
    const TempDir folder;
    const auto refuses = [&](const std::string& header, std::size_t data_size, const char* part) {
        const std::string message = header_error(folder, header, data_size);
        CAPTURE(header);
        CAPTURE(message);
        CHECK(contains(message, part));
        CHECK(contains(message, "x.safetensors: "));
    };
    const std::string entry = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
    CHECK(header_error(folder, "{" + entry + "}", 4) == "no error");
    CHECK(header_error(folder, "{" + entry + "}   ", 4) == "no error");
    CHECK(header_error(folder, "{}", 0) == "no error");

    refuses("{" + entry + "}", 3, "not inside the 3 data bytes");
    refuses("{" + entry + "}", 5, "tensors end at byte 4 of the data, but there are 5");
    refuses("{" + entry + "," + entry + "}", 4, "overlap");
    refuses(
        R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
        0, "\"a\": the name occurs twice");
    refuses(
        R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[3],"data_offsets":[3,6]}})",
        6, "\"b\": data begin at 3 and overlap the tensor that ends at 4");
    refuses(
        R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}})",
        6, "leave a gap");
    refuses(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4, "[4, 0) is not inside");
    refuses(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
            "2 elements of type F32 do not take 4 bytes");
    refuses(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "\"a\": negative number -1");
    refuses(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4, "expected a whole number");
    refuses(R"({"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}})", 4, "JSON");
    refuses(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4, "too large");
    refuses(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4, "exceeds 2^63 - 1");
    refuses(R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4, "do not take 4 bytes");
    refuses(R"({"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}})", 1, "do not take 1 bytes");
    refuses(R"({"a":{"dtype":"F4","shape":[1],"data_offsets":[0,0]}})", 0, "do not take 0 bytes");
    refuses(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "\"a\": missing \"dtype\"");
    refuses(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "missing \"shape\"");
    refuses(R"({"a":{"dtype":"F32","shape":[1]}})", 4, "missing \"data_offsets\"");
    refuses(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "\"dtype\" occurs twice");
    refuses(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "expected two numbers, found 1");
    refuses(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4, "expected two numbers, found more");
    refuses(R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "unexpected an array");
    refuses(R"({"a":{"dtype":"F32","shape":{},"data_offsets":[0,4]}})", 4, "unexpected an object");
    refuses(R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", 4, "unexpected an array");
    refuses(R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", 4, "unexpected a string");
    refuses(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4, "unexpected a number");
    refuses(R"({"a":{"dtype":"F32","shape":null,"data_offsets":[0,4]}})", 4, "unexpected null");
    refuses(R"({"a":{"dtype":"F32","shape":[1],"more":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]],"data_offsets":[0,4]}})", 4,
            "nested too deeply");
    refuses(R"({"a":7})", 0, "unexpected a number");
    refuses(R"({"a":[]})", 0, "unexpected an array");
    refuses(R"({"__metadata__":{"k":1}})", 0, "unexpected a number");
    refuses(R"({"__metadata__":{"k":{}}})", 0, "unexpected an object");
    refuses(R"({"__metadata__":{"k":"a","k":"b"}})", 0, "duplicate metadata key");
    refuses(R"({"__metadata__":{},"__metadata__":{}})", 0, "duplicate __metadata__");
    refuses("[]", 0, "unexpected an array");
    refuses("7", 0, "unexpected a number");
    refuses("", 0, "JSON");
    refuses("{", 0, "JSON");
    refuses("{} {}", 0, "JSON");
    refuses("{\"\xFF\":{}}", 0, "JSON");
    refuses(std::string(100'000, '['), 0, "unexpected an array");
    refuses("{\"a\":" + std::string(100'000, '{'), 0, "JSON");
}

TEST_CASE("impossible header lengths are refused before anything is read") {
    const TempDir folder;
    CHECK(contains(open_error(folder, ""), "expected at least 8 bytes, found 0"));
    CHECK(contains(open_error(folder, "1234567"), "expected at least 8 bytes, found 7"));
    for (const std::uint64_t length :
         {std::uint64_t{3}, std::uint64_t{100'000'001}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        std::string content = raw_file("{}", 0);
        std::memcpy(content.data(), &length, sizeof length);
        CHECK(contains(open_error(folder, content), "header of"));
    }
}

TEST_CASE("a file cut at any length is refused") {
    const TempDir folder;
    write_sample(folder / "sample.safetensors");
    const std::string whole = io::read_text(folder / "sample.safetensors");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(size);
        CHECK(open_error(folder, whole.substr(0, size)) != "no error");
    }
    CHECK(open_error(folder, whole) == "no error");
}

TEST_CASE("random damage never does worse than an Error") {
    const TempDir folder;
    write_sample(folder / "sample.safetensors");
    const std::string whole = io::read_text(folder / "sample.safetensors");
    constexpr unsigned seed = 7;
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (int trial = 0; trial < 2000; ++trial) {
        std::string damaged = whole;
        for (unsigned i = 0; i <= random() % 3; ++i) {
            damaged[random() % damaged.size()] = static_cast<char>(random());
        }
        put_file(folder / "damaged", damaged);
        (void)error_text([&] {
            const io::SafetensorsFile file(folder / "damaged");
            for (const std::string& name : file.names()) {
                (void)error_text([&] { (void)io::values<double>(file.at(name)); });
            }
        });
    }
}

TEST_CASE("the writer refuses misuse and then leaves nothing behind") {
    const TempDir folder;
    const fs::path path = folder / "w.safetensors";
    {
        io::SafetensorsWriter writer(path);
        writer.declare("a", DType::f32, {2});
        writer.declare("b", DType::u8, {1});
        CHECK(contains(error_text([&] { writer.declare("a", DType::f32, {2}); }), "\"a\": declared twice"));
        CHECK(contains(error_text([&] { writer.declare("n", DType::f32, {2, -1}); }), "negative extent -1"));
        CHECK(contains(error_text([&] { writer.declare("l", DType::f64, {Index{1} << 62}); }), "too large"));
        CHECK(contains(error_text([&] { writer.declare("__metadata__", DType::f32, {}); }), "reserved"));
        CHECK(contains(error_text([&] { writer.write("c", {}); }), "\"c\": not declared"));
        const std::vector<double> wrong{1.0};
        CHECK(contains(error_text([&] { writer.write_values<double>("a", wrong); }),
                       "declared as F32, found values of type F64"));
        CHECK(
            contains(error_text([&] { writer.write("b", to_bytes("1")); }), "expected the bytes of tensor \"a\" next"));
        writer.write("a", to_bytes("12345"));
        CHECK(contains(error_text([&] { writer.declare("late", DType::f32, {}); }), "after the first write"));
        CHECK(contains(error_text([&] { writer.set_metadata("k", "v"); }), "before the first write"));
        CHECK(contains(error_text([&] { writer.write("a", to_bytes("6789")); }),
                       "expected at most 3 more bytes, found 4"));
        CHECK(contains(error_text([&] { writer.finish(); }), "\"a\": 3 bytes are missing"));
        writer.write("a", to_bytes("678"));
        CHECK(
            contains(error_text([&] { writer.write("a", to_bytes("9")); }), "expected the bytes of tensor \"b\" next"));
        CHECK(contains(error_text([&] { writer.finish(); }), "\"b\": 1 bytes are missing"));
    }
    CHECK(fs::is_empty(folder.path()));
    {
        io::SafetensorsWriter writer(path);
        CHECK(contains(error_text([&] { writer.declare("bad \xFF name", DType::f32, {0}); }), "UTF-8"));
        CHECK(contains(error_text([&] { writer.set_metadata("k", "\x80"); }), "UTF-8"));
        CHECK(contains(error_text([&] { io::SafetensorsWriter other(path, {{"\xC3", "v"}}); }), "UTF-8"));
    }
    CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a file without tensors is valid") {
    const TempDir folder;
    io::SafetensorsWriter writer(folder / "none.safetensors");
    writer.set_metadata("k", "v");
    writer.finish();
    const io::SafetensorsFile file(folder / "none.safetensors");
    CHECK(file.names().empty());
    CHECK(file.metadata().at("k") == "v");
}

TEST_CASE("every recorded reference file opens and converts") {
    std::vector<fs::path> files;
    for (const fs::path& folder : golden_folders()) {
        std::ranges::copy_if(fs::directory_iterator(folder), std::back_inserter(files),
                             [](const fs::path& path) { return path.extension() == ".safetensors"; });
    }
    for (const fs::path& path : files) {
        const io::SafetensorsFile file(path);
        for (const std::string& name : file.names()) {
            const io::TensorView view = file.at(name);
            const bool whole_numbers = view.dtype == DType::i64 || view.dtype == DType::u8;
            if (whole_numbers) {
                CHECK(io::values<Index>(view).size() == static_cast<std::size_t>(io::element_count(view.shape, name)));
                continue;
            }
            const std::vector<double> numbers = io::values<double>(view);
            CHECK_MESSAGE(std::ranges::all_of(numbers, [](double x) { return std::isfinite(x); }), view.label);
        }
    }
    CHECK_FALSE(files.empty());
}
