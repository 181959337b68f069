#include "flowfar/io/tensors/torch_checkpoint.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "folders.hpp"
#include "io_support.hpp"
#include "support/temp_dir.hpp"
#include "tensor_numbers.hpp"
#include "torch_builder.hpp"

using flowfar::DType;
using flowfar::Error;
using flowfar::Index;
using flowfar::text;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;

namespace {

const fs::path data = flowfar::testing::source_folder() / "tests" / "io" / "data" / "torch";

/// Elements first, first + step, … of the numbers.
std::vector<double> picked(const std::vector<Index>& positions) {
    std::vector<double> out;
    for (const Index i : positions) {
        out.push_back(number(i));
    }
    return out;
}

std::string value_of(const io::TorchCheckpoint& file, const std::string& name) {
    for (const auto& [key, value] : file.values()) {
        if (key == name) {
            return value;
        }
    }
    return "absent";
}

}  // namespace

TEST_CASE("every element type of PyTorch, in the present format and the old one") {
    for (const char* const name : {"types.pth", "types_legacy.pth"}) {
        CAPTURE(name);
        const io::TorchCheckpoint file(data / name);
        CHECK(file.is_legacy() == (std::string(name) == "types_legacy.pth"));
        CHECK(file.names().size() == 16);
        const std::map<std::string, DType> types{
            {"float32", DType::f32}, {"float64", DType::f64}, {"float16", DType::f16}, {"bfloat16", DType::bf16},
            {"int64", DType::i64},   {"int32", DType::i64},   {"int16", DType::i64},   {"int8", DType::i64},
            {"uint8", DType::u8},    {"uint16", DType::i64},  {"uint32", DType::i64}};
        io::Scratch scratch;
        for (const auto& [type, dtype] : types) {
            CAPTURE(type);
            const io::TensorView view = file.at(type, scratch);
            CHECK(view.dtype == dtype);
            CHECK(view.shape == std::vector<Index>{2, 3});
            CHECK(doubles(view) == numbers(6, type.starts_with('u')));
        }
        CHECK(io::values<std::uint8_t>(file.at("bool", scratch)) == std::vector<std::uint8_t>{1, 0, 1, 0, 1, 0});
        CHECK(doubles(file, "scalar") == std::vector<double>{2.5});
        CHECK(file.at("scalar", scratch).shape.empty());
        CHECK(file.at("empty", scratch).shape == std::vector<Index>{0, 3});
        CHECK(file.at("empty", scratch).bytes.empty());
        CHECK(file.info("int16").type == "I16");
        CHECK(file.info("int16").size == 12);
        CHECK(file.info("complex64").type == "C64");
        CHECK(contains(error_text([&] { (void)file.at("complex64", scratch); }),
                       "tensor \"complex64\": elements of type C64 are not supported"));
        CHECK(contains(error_text([&] { (void)file.at("float8_e4m3fn", scratch); }), "F8_E4M3 are not supported"));
        CHECK(contains(error_text([&] { (void)file.at("absent", scratch); }), "tensor \"absent\": no such tensor"));
        file.verify();
    }
}

TEST_CASE("views share storages and keep offsets and strides") {
    for (const char* const name : {"views.pth", "views_legacy.pth"}) {
        CAPTURE(name);
        const io::TorchCheckpoint file(data / name);
        CHECK(doubles(file, "base") == numbers(24));
        std::vector<Index> transposed;
        std::vector<Index> permuted;
        for (Index column = 0; column < 6; ++column) {
            for (Index row = 0; row < 4; ++row) {
                transposed.push_back(row * 6 + column);
                permuted.push_back(row * 6 + column);
            }
        }
        CHECK(doubles(file, "transposed") == picked(transposed));
        CHECK(doubles(file, "row") == picked({6, 7, 8, 9, 10, 11}));
        CHECK(doubles(file, "column") == picked({2, 8, 14, 20}));
        CHECK(doubles(file, "block") == picked({8, 9, 10, 14, 15, 16}));
        CHECK(doubles(file, "steps") == picked({0, 3, 12, 15}));
        CHECK(doubles(file, "expanded") == picked({0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}));
        CHECK(doubles(file, "permuted") == picked(permuted));
        CHECK(doubles(file, "one") == picked({15}));
        CHECK(doubles(file, "parameter") == picked({18, 19, 20, 21, 22, 23}));
        CHECK(doubles(file, "tied.0") == numbers(24));
        CHECK(doubles(file, "tied.1.again") == numbers(24));
        CHECK(file.tensor("transposed").strides == std::vector<Index>{1, 6});
        CHECK(file.tensor("block").offset == 8);
        CHECK(file.tensor("block").storage == file.tensor("base").storage);
        io::Scratch scratch;
        static_cast<void>(file.at("row", scratch));
        static_cast<void>(file.at("one", scratch));
        CHECK(scratch.empty());  // used in place
        CHECK(file.at("permuted", scratch).shape == std::vector<Index>{6, 2, 2});
        CHECK(scratch.size() == 96);
    }
}

TEST_CASE("a training checkpoint: nested tensors, and everything else is listed but not constructed") {
    for (const char* const name : {"checkpoint.pth", "checkpoint_legacy.pth"}) {
        CAPTURE(name);
        const io::TorchCheckpoint file(data / name);
        CHECK(doubles(file, "model.0.weight") == numbers(12));
        CHECK(doubles(file, "model.1.bias") == numbers(2));
        std::vector<double> average = numbers(8);
        for (double& value : average) {
            value += 1000;
        }
        CHECK(doubles(file, "model_ema.1.weight") == average);
        CHECK(file.contains("optimizer.state.0.exp_avg"));
        CHECK(doubles(file, "optimizer.state.3.step") == std::vector<double>{1});
        CHECK(value_of(file, "epoch") == "7");
        CHECK(value_of(file, "args") == "object of argparse.Namespace");
        CHECK(value_of(file, "args.mask") == "True");
        CHECK(value_of(file, "args.name") == "\"far_large\"");
        CHECK(value_of(file, "args.lr") == "0.0001");
        CHECK(value_of(file, "args.levels") == "a list of 3");
        CHECK(value_of(file, "args.big") == "an integer");
        CHECK(value_of(file, "scaler") == "None");
        CHECK(value_of(file, "device") == "object of torch.device");
        CHECK(value_of(file, "dtype") == "torch.float16");
    }
}

TEST_CASE("bare state_dicts, all pickle protocols, other devices and other byte orders") {
    for (const char* const name :
         {"state_dict.pth", "state_dict_legacy.pth", "protocol3.pth", "protocol4.pth", "protocol5.pth"}) {
        CAPTURE(name);
        const io::TorchCheckpoint file(data / name);
        CHECK(file.names() == std::vector<std::string>{"weight", "bias"});
        CHECK(doubles(file, "weight") == numbers(6));
        CHECK(doubles(file, "bias") == numbers(2));
    }
    const io::TorchCheckpoint gpu(data / "gpu.pth");
    CHECK(gpu.tensor("float32").device == "cuda:1");
    CHECK(doubles(gpu, "float32") == numbers(6));
    const io::TorchCheckpoint big(data / "big_endian.pth");
    CHECK(big.is_big_endian());
    for (const char* const type : {"float32", "float64", "bfloat16", "int16"}) {
        CHECK(doubles(big, type) == numbers(6));
    }
    CHECK(doubles(big, "uint8") == numbers(6, true));
}

TEST_CASE("what PyTorch 1.13 wrote") {
    for (const char* const name : {"old_zip.pth", "old_stream.pth"}) {
        CAPTURE(name);
        const io::TorchCheckpoint file(data / name);
        CHECK(doubles(file, "types.float32") == numbers(6));
        CHECK(doubles(file, "types.bfloat16") == numbers(6));
        CHECK(doubles(file, "types.int32") == numbers(6));
        CHECK(doubles(file, "views.block") == picked({8, 9, 10, 14, 15, 16}));
        CHECK(doubles(file, "checkpoint.model.0.weight") == numbers(12));
        CHECK(value_of(file, "checkpoint.args.name") == "\"far_large\"");
    }
}

TEST_CASE("modules and programs are recognized") {
    const io::TorchCheckpoint module(data / "module.pth");
    CHECK(module.names().empty());
    CHECK(value_of(module, "") == "object of torch.nn.modules.linear.Linear");
    CHECK(contains(error_text([] { io::TorchCheckpoint file(data / "script.pt"); }), "a TorchScript program"));
    const TempDir folder;
    put_file(folder / "old.tar", "sys_info" + std::string(249, '\0') + "ustar" + std::string(512, 'x'));
    CHECK(
        contains(error_text([&] { io::TorchCheckpoint file(folder / "old.tar"); }), "a tar archive of PyTorch before"));
    put_file(folder / "text", "hello");
    CHECK(contains(error_text([&] { io::TorchCheckpoint file(folder / "text"); }), "not a PyTorch checkpoint"));
    put_file(folder / "nothing", "");
    CHECK(contains(error_text([&] { io::TorchCheckpoint file(folder / "nothing"); }), "not a PyTorch checkpoint"));
}

TEST_CASE("every cut of every file is an error") {
    for (const char* const name : {"views.pth", "views_legacy.pth", "state_dict.pth", "state_dict_legacy.pth"}) {
        std::ifstream stream(data / name, std::ios::binary);
        const std::string whole{std::istreambuf_iterator<char>(stream), {}};
        CAPTURE(name);
        REQUIRE(whole.size() > 500);
        for (std::size_t length = 0; length < whole.size(); ++length) {
            const Bytes part = to_bytes(whole.substr(0, length));
            CAPTURE(length);
            CHECK(error_text([&] { io::TorchCheckpoint file(io::MappedFile::of_memory("cut", part)); }) != "no error");
        }
    }
}

TEST_CASE("changed bytes give an error or a file that can be read") {
    std::uint64_t seed = 12345;
    for (const char* const name : {"views.pth", "views_legacy.pth"}) {
        std::ifstream stream(data / name, std::ios::binary);
        const std::string whole{std::istreambuf_iterator<char>(stream), {}};
        for (int round = 0; round < 3000; ++round) {
            std::string changed = whole;
            for (int i = 0; i < 1 + round % 3; ++i) {
                seed = seed * 6364136223846793005U + 1442695040888963407U;
                changed[(seed >> 33) % changed.size()] = static_cast<char>(seed >> 25);
            }
            const Bytes bytes = to_bytes(changed);
            static_cast<void>(error_text([&] {
                const io::TorchCheckpoint file(io::MappedFile::of_memory("changed", bytes));
                io::Scratch scratch;
                for (const std::string& tensor : file.names()) {
                    static_cast<void>(error_text([&] { (void)file.at(tensor, scratch); }));
                }
            }));
        }
    }
}

TEST_CASE("tensors of derived classes are tensors") {
    for (const char* const function : {"torch._tensor\n_rebuild_from_type_v2", "torch._tensor\n_rebuild_from_type",
                                       "torch.tensor\n_rebuild_from_type"}) {
        CAPTURE(function);
        TorchBuilder builder;
        const std::string call = builder.tensor();  // "c…\n", the arguments, "R"
        const std::size_t name = call.find('(');
        const std::string wrapped = text("c", function, "\n(", call.substr(0, name), "c__main__\nMyTensor\n",
                                         call.substr(name, call.size() - name - 1), "}tR");
        ZipBuilder zip;
        zip.add("any/data.pkl", "\x80\x02}(" + TorchBuilder::string("w") + wrapped + "u.");
        zip.add("any/data/0", builder.storage);
        const Bytes bytes = to_bytes(zip.finish());
        const io::TorchCheckpoint file(io::MappedFile::of_memory("x.pth", bytes));
        REQUIRE(file.names() == std::vector<std::string>{"w"});
        CHECK(file.info("w").shape == std::vector<Index>{3, 4});
    }
}

TEST_CASE("an archive larger than 4 GiB") {
    const TempDir folder;
    const fs::path path = folder / "large.pth";
    // A sparse file: a storage of 5 GiB between the pickle and a small storage, with 64-bit records.
    constexpr std::uint64_t hole = std::uint64_t{5} << 30;
    TorchBuilder builder;
    builder.key = "1";
    builder.count = static_cast<Index>(hole / 4);
    builder.shape = {1, 3};
    builder.offset = builder.count - 3;
    TorchBuilder small;
    const std::string pickle = "\x80\x02}(" + TorchBuilder::string("end") + builder.tensor() +
                               TorchBuilder::string("small") + small.tensor() + "u.";
    std::ofstream out(path, std::ios::binary);
    std::string table;
    std::uint64_t position = 0;
    const auto put = [&](const std::string& characters) {
        out.write(characters.data(), static_cast<std::streamsize>(characters.size()));
        position += characters.size();
    };
    const auto entry = [&](const std::string& name, std::uint64_t size) {
        const auto common = [&](std::string& text) {
            put_number(text, 45, 2);
            put_number(text, 0, 8);  // flags, method, time
            put_number(text, 0, 4);  // checksum
            put_number(text, 0xFFFFFFFF, 4);
            put_number(text, 0xFFFFFFFF, 4);
            put_number(text, name.size(), 2);
        };
        std::string header;
        put_number(header, 0x04034b50, 4);
        common(header);
        put_number(header, 20, 2);
        header += name;
        put_number(header, 1, 2);
        put_number(header, 16, 2);
        put_number(header, size, 8);
        put_number(header, size, 8);
        put_number(table, 0x02014b50, 4);
        put_number(table, 45, 2);
        common(table);
        put_number(table, 28, 2);
        put_number(table, 0, 10);
        put_number(table, 0xFFFFFFFF, 4);
        table += name;
        put_number(table, 1, 2);
        put_number(table, 24, 2);
        put_number(table, size, 8);
        put_number(table, size, 8);
        put_number(table, position, 8);
        put(header);
    };
    entry("large/data.pkl", pickle.size());
    put(pickle);
    entry("large/data/1", hole);
    const std::uint64_t last = position + hole - 12;
    out.seekp(static_cast<std::streamoff>(last));
    position = last;
    const float values[] = {1.5F, -2.0F, 3.25F};
    put(std::string(reinterpret_cast<const char*>(values), sizeof values));
    entry("large/data/0", 48);
    put(std::string(48, '\0'));
    const std::uint64_t begin = position;
    put(table);
    const std::uint64_t end = position;
    std::string tail;
    put_number(tail, 0x06064b50, 4);
    put_number(tail, 44, 8);
    put_number(tail, 45, 4);
    put_number(tail, 0, 8);
    put_number(tail, 3, 8);
    put_number(tail, 3, 8);
    put_number(tail, table.size(), 8);
    put_number(tail, begin, 8);
    put_number(tail, 0x07064b50, 4);
    put_number(tail, 0, 4);
    put_number(tail, end, 8);
    put_number(tail, 1, 4);
    put_number(tail, 0x06054b50, 4);
    put_number(tail, 0, 4);
    put_number(tail, 0xFFFFFFFFFFFFFFFF, 8);
    put_number(tail, 0xFFFFFFFF, 4);
    put_number(tail, 0, 2);
    put(tail);
    out.close();
    if (!out) {
        MESSAGE("NOT RUN: the file system of the temporary folder has no sparse files of 5 GiB");
        return;
    }
    const io::TorchCheckpoint file(path);
    CHECK(doubles(file, "end") == std::vector<double>{1.5, -2.0, 3.25});
    CHECK(doubles(file, "small") == std::vector<double>(12));
    CHECK(file.tensor("end").offset == static_cast<Index>(hole / 4) - 3);
}
