#include "flowfar/io/tensors/npy.hpp"

#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <vector>
#include <zlib.h>

#include "flowfar/io/tensors/npz.hpp"

#include "folders.hpp"
#include "io_support.hpp"
#include "support/temp_dir.hpp"
#include "tensor_numbers.hpp"
#include "zip_builder.hpp"

using flowfar::bf16;
using flowfar::DType;
using flowfar::Error;
using flowfar::f16;
using flowfar::Index;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;

namespace {

const fs::path data = flowfar::testing::source_folder() / "tests" / "io" / "data" / "torch";

std::string read(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

/// An array file of version 1 with this header.
std::string array_file(const std::string& header, std::size_t bytes) {
    std::string out("\x93NUMPY\x01\x00", 8);
    put_number(out, header.size(), 2);
    return out + header + std::string(bytes, '\0');
}

std::string array_error(const std::string& file) {
    const Bytes bytes = to_bytes(file);
    return error_text([&] {
        io::Scratch scratch;
        (void)io::NpyArray(bytes, "x.npy").view(scratch);
    });
}

}  // namespace

TEST_CASE("versions 1 to 3 of the array format") {
    for (const char* const name : {"version1.npy", "version2.npy", "version3.npy"}) {
        CAPTURE(name);
        const io::NpyFile file(data / name);
        io::Scratch scratch;
        CHECK(file.array().type().name == "F32");
        CHECK(file.array().shape() == std::vector<Index>{2, 3});
        CHECK(doubles(file.view(scratch)) == numbers(6));
        CHECK(scratch.empty());
    }
}

TEST_CASE("archives of arrays, stored and compressed: every type, both orders") {
    for (const char* const name : {"arrays.npz", "arrays_compressed.npz"}) {
        CAPTURE(name);
        const io::NpzFile file(data / name);
        CHECK(file.names().size() == 19);
        CHECK(file.contains("fortran"));
        CHECK_FALSE(file.contains("fortran.npy"));
        io::Scratch scratch;
        for (const char* const type :
             {"float32", "float64", "float16", "int64", "int32", "int16", "int8", "big_float32", "big_int16"}) {
            CAPTURE(type);
            CHECK(doubles(file.at(type, scratch)) == numbers(6));
            CHECK(file.at(type, scratch).shape == std::vector<Index>{2, 3});
        }
        for (const char* const type : {"uint8", "uint16", "uint32"}) {
            CHECK(doubles(file.at(type, scratch)) == numbers(6, true));
        }
        CHECK(file.at("int16", scratch).dtype == DType::i64);
        CHECK(file.at("float16", scratch).dtype == DType::f16);
        CHECK(io::values<std::uint8_t>(file.at("bool", scratch)) == std::vector<std::uint8_t>{1, 0, 1, 0, 1, 0});
        CHECK(doubles(file.at("fortran", scratch)) == numbers(24));
        CHECK(file.at("fortran", scratch).shape == std::vector<Index>{2, 3, 4});
        CHECK(doubles(file.at("big_fortran", scratch)) == numbers(24));
        CHECK(doubles(file.at("scalar", scratch)) == std::vector<double>{2.5});
        CHECK(file.at("empty", scratch).shape == std::vector<Index>{0, 3});
        CHECK(contains(error_text([&] { (void)file.at("uint64", scratch); }),
                       "array \"uint64\": elements of type U64 are not supported"));
        CHECK(contains(error_text([&] { (void)file.at("complex64", scratch); }), "C64 are not supported"));
        CHECK(contains(error_text([&] { (void)file.at("none", scratch); }), "no array \"none\""));
    }
    io::Scratch scratch;
    CHECK(contains(error_text([&] { (void)io::NpzFile(data / "arrays_compressed.npz").at("float32", scratch, 100); }),
                   "152 bytes, expected at most 100"));
}

TEST_CASE("objects and records are refused") {
    CHECK(contains(error_text([] { io::NpyFile file(data / "objects.npy"); }),
                   "\"|O\" are not supported: they are Python"));
    CHECK(contains(error_text([] { io::NpyFile file(data / "records.npy"); }), "arrays of records are not supported"));
}

TEST_CASE("damaged array files are refused") {
    const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n";
    CHECK(array_error(array_file(good, 24)) == "no error");
    CHECK(contains(array_error(array_file(good, 23)), "23 bytes of data, expected 6 elements of type F32"));
    CHECK(contains(array_error(array_file(good, 25)), "1 bytes after the array's end"));
    CHECK(contains(array_error("hello"), "not a NumPy array file"));
    const auto refuses = [](const std::string& header, const char* part) {
        const std::string message = array_error(array_file(header, 24));
        CAPTURE(header);
        CAPTURE(message);
        CHECK(contains(message, part));
        CHECK(message.starts_with("x.npy: "));
    };
    refuses("", "expected '{'");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", "expected '}'");
    refuses("{'descr': '<f4', 'fortran_order': False}", "'shape' is missing");
    refuses("{'descr': '', 'fortran_order': False, 'shape': (6,)}", "'descr'");
    refuses("{'descr': '<f4', 'descr': '<f4', 'shape': (6,)}", "unexpected key \"descr\"");
    refuses("{'more': 1, 'fortran_order': False, 'shape': (6,)}", "unexpected key \"more\"");
    refuses("{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}", "neither True nor False");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (-6,)}", "bad extent");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", "bad extent");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "exceeds 2^63 - 1");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 1)}", "24 bytes of data");
    refuses("{'descr': '<U4', 'fortran_order': False, 'shape': (6,)}", "NumPy type \"<U4\" are not supported");
    refuses("{'descr': 'f4', 'fortran_order': False, 'shape': (6,)}", "are not supported");
    refuses("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} more", "something follows");
    std::string many = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    for (int i = 0; i < 70; ++i) {
        many += "1, ";
    }
    refuses(many + ")}", "bad extent");
    CHECK(array_error(array_file("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n", 24)) == "no error");
    std::string future = array_file(good, 24);
    future[6] = '\x04';
    CHECK(contains(array_error(future), "NumPy format version 4"));
    const std::string whole = read(data / "version2.npy");
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CHECK(array_error(whole.substr(0, length)) != "no error");
    }
}

TEST_CASE("a compressed array that lies about its size is refused") {
    ZipPart bomb;
    bomb.name = "a.npy";
    bomb.content = std::string("\x03\x00", 2);  // an empty deflate stream
    bomb.method = 8;
    bomb.crc = 0;
    const auto error = [&] {
        ZipBuilder zip;
        zip.add(bomb);
        const Bytes bytes = to_bytes(zip.finish());
        return error_text([&] {
            io::Scratch scratch;
            (void)io::NpzFile(io::MappedFile::of_memory("x.npz", bytes)).at("a", scratch);
        });
    };
    bomb.size = 0;
    CHECK(contains(error(), "not a NumPy array file"));
    bomb.size = 1000;
    CHECK(contains(error(), "damaged deflate stream"));
    bomb.size = 1U << 30U;
    CHECK(contains(error(), "2 bytes cannot hold the 1073741824 that it claims"));
    bomb.content = "\xFF\xFF\xFF\xFF";
    bomb.size = 100;
    CHECK(contains(error(), "damaged deflate stream"));
    bomb.method = 12;
    CHECK(contains(error(), "compressed by method 12, expected stored or deflated"));
}

TEST_CASE("a compressed array larger than the caller's limit is refused before it is uncompressed") {
    const io::NpzFile file(data / "arrays_compressed.npz");
    io::Scratch scratch;
    const std::string name = file.names().front();
    const std::string message = error_text([&] { (void)file.at(name, scratch, 16); });
    CAPTURE(message);
    CHECK(contains(message, "bytes, expected at most 16"));
    CHECK(scratch.empty());
}

TEST_CASE("the limit holds for widened elements, too") {
    ZipPart part;
    part.name = "a.npy";
    std::string file = array_file("{'descr': '|i1', 'fortran_order': False, 'shape': (100,)}\n", 100);
    std::string deflated(2 * file.size(), '\0');
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(file.data());
    stream.avail_in = static_cast<uInt>(file.size());
    stream.next_out = reinterpret_cast<Bytef*>(deflated.data());
    stream.avail_out = static_cast<uInt>(deflated.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&stream);
    part.content = deflated.substr(0, stream.total_out);
    part.method = 8;
    part.size = file.size();
    part.crc = io::crc32(std::as_bytes(std::span(file)));
    ZipBuilder zip;
    zip.add(part);
    const Bytes bytes = to_bytes(zip.finish());
    const io::NpzFile archive(io::MappedFile::of_memory("x.npz", bytes));
    io::Scratch scratch;
    CHECK(archive.at("a", scratch, 800).bytes.size() == 800);
    scratch.clear();
    CHECK(error_text([&] { (void)archive.at("a", scratch, 799); }) ==
          "x.npz: array \"a\": 800 bytes when read, expected at most 799");
    CHECK(scratch.empty());
}

TEST_CASE("every cut of a compressed archive is an error") {
    const std::string whole = read(data / "arrays_compressed.npz");
    for (std::size_t length = 0; length < whole.size(); length += 7) {
        const Bytes bytes = to_bytes(whole.substr(0, length));
        CHECK(error_text([&] { io::NpzFile file(io::MappedFile::of_memory("x.npz", bytes)); }) != "no error");
    }
}

TEST_CASE("what was written is read back") {
    const TempDir folder;
    const std::vector<float> floats{1.5F, -2.0F, 3.0F, 4.0F, 5.0F, 6.0F};
    const std::vector<bf16> halves{bf16(1.0F), bf16(-3.0F)};
    const std::vector<f16> small{f16(0.5F)};
    const std::vector<Index> whole{-7, Index{1} << 60};
    const std::vector<std::uint8_t> bytes{0, 255};
    io::write_npy<float>(folder / "a.npy", floats, {3, 2});
    io::Scratch scratch;
    CHECK(io::values<float>(io::NpyFile(folder / "a.npy").view(scratch)) == floats);
    CHECK(io::NpyFile(folder / "a.npy").array().shape() == std::vector<Index>{3, 2});
    CHECK(fs::file_size(folder / "a.npy") == 128 + 24);
    io::write_npy<float>(folder / "scalar.npy", std::span(floats).first(1), {});
    CHECK(io::NpyFile(folder / "scalar.npy").array().shape().empty());
    CHECK(
        contains(error_text([&] { io::write_npy<float>(folder / "b.npy", floats, {3, 3}); }), "24 bytes, expected 9"));
    CHECK_FALSE(fs::exists(folder / "b.npy"));

    io::NpzWriter writer(folder / "a.npz");
    writer.add<float>("floats", floats, {6});
    writer.add<bf16>("halves", halves, {1, 2});
    writer.add<f16>("small", small, {1});
    writer.add<Index>("whole", whole, {2});
    writer.add<std::uint8_t>("bytes", bytes, {2, 1, 1});
    writer.add<float>("none", {}, {0, 4});
    writer.finish();
    const io::NpzFile file(folder / "a.npz");
    CHECK(io::values<float>(file.at("floats", scratch)) == floats);
    CHECK(io::values<float>(file.at("halves", scratch)) == std::vector<float>{1.0F, -3.0F});
    CHECK(file.at("halves", scratch).dtype == DType::f32);
    CHECK(io::values<float>(file.at("small", scratch)) == std::vector<float>{0.5F});
    CHECK(io::values<Index>(file.at("whole", scratch)) == whole);
    CHECK(io::values<std::uint8_t>(file.at("bytes", scratch)) == bytes);
    CHECK(file.at("none", scratch).shape == std::vector<Index>{0, 4});
}
