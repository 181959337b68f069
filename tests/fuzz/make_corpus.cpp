// Makes the seeds in tests/fuzz/corpus, most of them with the library's own writers: make_corpus tests/fuzz/corpus. The
// targets for images, PyTorch and NumPy also start from tests/io/data. Files in the corpus that are named finding_*
// once broke a reader and are kept as they were found.

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/checkpoints/codes/token_set.hpp"
#include "flowfar/checkpoints/feature_statistics.hpp"
#include "flowfar/checkpoints/train_state.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/tensors/npy.hpp"
#include "flowfar/io/tensors/npz.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"
#include "flowfar/nn/linear.hpp"

#include "../io/io_support.hpp"
#include "../io/tar_builder.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

void safetensors(const fs::path& folder) {
    fs::create_directories(folder);
    io::SafetensorsWriter writer(folder / "every_type", {{"format", "pt"}, {"step", "20"}});
    const std::vector<DType> types = {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i64, DType::u8};
    for (const DType type : types) {
        writer.declare(text("t.", name_of(type)), type, {2, 3});
    }
    writer.declare("scalar", DType::f32, {});
    writer.declare("empty", DType::f32, {0, 7});
    for (const DType type : types) {
        writer.write(text("t.", name_of(type)), std::vector<std::byte>(6 * size_of(type), std::byte{0x3C}));
    }
    writer.write("scalar", std::vector<std::byte>(4));
    writer.finish();
    const auto raw = [&](const char* name, const std::string& header, std::size_t data) {
        std::string file(8, '\0');
        for (std::size_t i = 0; i < 8; ++i) {
            file[i] = static_cast<char>(header.size() >> (8 * i) & 0xFFU);
        }
        put_file(folder / name, file + header + std::string(data, 'x'));
    };
    raw("nothing", "{}", 0);
    raw("unknown_types",
        R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F4","shape":[2,2],"data_offsets":[4,6]}})",
        6);
    raw("overflow", R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0);
    raw("overlap",
        R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
        6);
    raw("nested", std::string(500, '['), 0);
}

void token_shard(const fs::path& folder) {
    fs::create_directories(folder);
    const io::TokenSetFacts facts{"Some", 77, 2, 2, 4, 12, "4 3", "model", "f32", "data", 3, 2, {"cat", "dog"}};
    const Tokens two{2, 2, 2, 4, {0, 5, 10, 3, 8, 1, 6, 11}};
    io::write_token_shard(folder, facts, 0, two, std::vector<Index>{0, 1});
}

void tokens(const fs::path& folder) {
    fs::create_directories(folder);
    for (const Index bits : {1, 9, 18}) {
        io::TokenFile file;
        file.height = 32;
        file.width = 48;
        file.configuration = 7;
        file.tokens = {2, 5, 2, bits, {}};
        for (Index i = 0; i < 20; ++i) {
            file.tokens.indices.push_back(static_cast<std::uint32_t>(i * 12345 & ((1 << bits) - 1)));
        }
        io::write_tokens(folder / text("bits_", bits), file);
    }
}

void tar(const fs::path& folder) {
    TarBuilder plain;
    plain.add("./data/", "", '5');
    plain.add("data/cat/one.png", "not an image");
    plain.add("data/dog/two.JPG", "neither");
    plain.add_with_prefix("data", "dog/three.jpeg", "x");
    plain.add("data/.hidden.png", "y");
    put_file(folder / "folders", plain.finish());
    TarBuilder extended;
    extended.add("PaxHeaders/1", pax_record("path", std::string(120, 'n') + ".png") + pax_record("size", "3"), 'x');
    extended.add("short.png", "abc");
    extended.add("././@LongLink", std::string(130, 'l') + ".png" + std::string(1, '\0'), 'L');
    extended.add("short.png", "abc");
    extended.add("link", "", '2');
    extended.add("big.png", "abc", '0', std::string("\x80\0\0\0\0\0\0\0\0\0\0\x03", 12));
    put_file(folder / "extensions", extended.finish());
}

void images(const fs::path& png, const fs::path& jpeg) {
    fs::create_directories(png);
    fs::create_directories(jpeg);
    io::write_png(png / "color", gradient_image(9, 7));
    io::write_jpeg(jpeg / "color", gradient_image(17, 9), 60);
}

void exif(const fs::path& folder) {
    for (const bool big : {false, true}) {
        std::string tiff = big ? "MM" : "II";
        const auto number = [&](unsigned value, int bytes) {
            for (int i = 0; i < bytes; ++i) {
                tiff += static_cast<char>(value >> (8 * (big ? bytes - 1 - i : i)) & 0xFFU);
            }
        };
        number(42, 2);
        number(8, 4);
        number(2, 2);
        for (const unsigned tag : {0x010FU, 0x0112U}) {
            number(tag, 2);
            number(3, 2);
            number(1, 4);
            number(6, 2);
            number(0, 2);
        }
        number(0, 4);
        put_file(folder / (big ? "big_endian" : "little_endian"), std::string("Exif\0\0", 6) + tiff);
    }
}

void json(const fs::path& folder) {
    put_file(folder / "log",
             "{\"event\":\"start\",\"config\":{\"name\":\"FlowMoTiny\",\"sizes\":[32,32,3]}}\n"
             "{\"step\":10,\"loss\":0.5}\n\n{\"step\":20,\"loss\":null}\n{\"step\":30,\"lo");
    put_file(folder / "numbers",
             "{\"step\":1e300,\"loss\":-0.0}\n{\"step\":-9223372036854775808,\"loss\":1e-400}\n"
             "{\"step\":18446744073709551615,\"loss\":true}\n{\"step\":\"\\ud83d\\ude00\"}\n");
    put_file(folder / "nested", "{\"a\":" + std::string(400, '[') + std::string(400, ']') + "}\n");
}

void train_state(const fs::path& folder) {
    using A = Autodiff<Reference>;
    fs::create_directories(folder);
    Linear<A, 3, 2> model;
    model.initialize(1);
    const auto all = parameters(model);
    Adam<A> adam;
    adam.add_group(all, {});
    for (auto& slot : adam.slots()) {
        slot.first = slot.second = slot.parameter.value();
        slot.steps = 3;
    }
    Ema<A> ema(all, 0.5);
    FixedNorms<A> norms(all);
    io::save_train_state(folder / "whole", io::TrainParts<A>{all, &adam, &ema, &norms}, {{"step", "3"}});
    io::save_train_state(folder / "model_only", io::TrainParts<A>{all}, {{"step", "3"}});
}

/// What the files in tests/io/data/torch do not have.
void torch(const fs::path& folder) {
    fs::create_directories(folder);
    io::TorchWriter writer(folder / "parts");
    writer.note("epoch", 400);
    for (const char* part : {"model", "model_ema"}) {
        writer.select(part);
        writer.declare("w", DType::f32, {2, 3});
        writer.declare("b", DType::bf16, {3});
    }
    for (int part = 0; part < 2; ++part) {
        writer.write("w", std::vector<std::byte>(24));
        writer.write("b", std::vector<std::byte>(6));
    }
    writer.finish();
}

/// Pickles as strangers might send them.
void pickles(const fs::path& folder) {
    put_file(folder / "runs_a_command", "cos\nsystem\n(S'true'\ntR.");
    put_file(folder / "calls_a_call", "c__builtin__\ngetattr\n(cbuiltins\neval\nS'a'\ntR.");
    put_file(folder / "deep", std::string(300, ']') + std::string(299, 'a') + ".");
    put_file(folder / "contains_itself", "]q\x01h\x01a.");
    put_file(folder / "long_claim", std::string("X\xff\xff\xff\x7f", 5) + "abc.");
    put_file(folder / "numbers", std::string("(I01\nI-7\nL12345678901234567890123L\nF1e400\nJ\xff\xff\xff\xff", 44) +
                                     std::string("\x8a\x09\0\0\0\0\0\0\0\0\x80G?\xf0\0\0\0\0\0\0t.", 22));
}

void numpy(const fs::path& npy, const fs::path& npz) {
    fs::create_directories(npy);
    fs::create_directories(npz);
    const std::vector<double> numbers{1.0, 2.0, 3.0, 4.0, 5.0, 6.0};
    io::write_npy<double>(npy / "matrix", numbers, {2, 3});
    io::write_npy<double>(npy / "scalar", std::span(numbers).first(1), {});
    io::write_npy<double>(npy / "empty", std::span(numbers).first(0), {3, 0});
    put_file(npz / "nothing", std::string("PK\x05\x06") + std::string(18, '\0'));
    io::save_statistics(npz / "statistics", {{{"", {7, {1.0, 2.0}, {2.0, 0.5, 0.5, 1.0}}}}, "clean-fid"});
}

void sharded_index(const fs::path& folder) {
    put_file(folder / "whole",
             R"({"metadata":{"total_size":16},"weight_map":{"a.weight":"a.safetensors","b.weight":"b.safetensors"}})");
    put_file(folder / "climbs", R"({"weight_map":{"a.weight":"../a.safetensors"}})");
    put_file(folder / "itself", R"({"weight_map":{"a.weight":"index.json"}})");
    put_file(folder / "nested", std::string(100, '['));
}

/// The first byte chooses the reader (tokenizer_fuzz.cpp).
void tokenizer(const fs::path& folder) {
    put_file(folder / "merges", "\x08#version: 0.2\na b\nab c\n");
    put_file(folder / "merges_windows",
             "\x08"
             "a b\r\nab c\r\n");
    put_file(folder / "vocab", R"(1{"a":0,"b":1,"ab":2,"\u0120":3})");
    put_file(folder / "whole",
             R"(2{"normalizer":{"type":"NFC"},"pre_tokenizer":{"pretokenizers":[{"type":"Split","pattern":{"Regex":)"
             R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|)"
             R"(\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated"},{"type":"ByteLevel","use_regex":false}]},)"
             R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b",["ab","a"]]},)"
             R"("added_tokens":[{"id":3,"content":"<|endoftext|>","special":true}]})");
    put_file(folder / "added", R"(3{"<|endoftext|>":256})");
    put_file(
        folder / "config",
        R"(4{"added_tokens_decoder":{"256":{"content":"<p>","special":true}},"pad_token":"<p>","padding_side":"left"})");
    put_file(folder / "text", "5It's \xC3\xA9 ab abab  12\r\n e\xCC\x81 <|end|>\xEA\xB0\x80 \xF0\x9F\xA6\x99!");
    put_file(folder / "marks", "5a\xCC\x81\xCC\xA3\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: make_corpus FOLDER\n");
        return 2;
    }
    try {
        const fs::path root = argv[1];
        safetensors(root / "safetensors");
        tokens(root / "token_file");
        token_shard(root / "token_shard");
        tar(root / "tar");
        images(root / "png", root / "jpeg");
        exif(root / "exif");
        json(root / "json");
        train_state(root / "train_state");
        torch(root / "torch_checkpoint");
        torch(root / "zip");
        pickles(root / "pickle");
        numpy(root / "npy", root / "npz");
        sharded_index(root / "sharded_index");
        tokenizer(root / "tokenizer");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "make_corpus: %s\n", error.what());
        return 1;
    }
    return 0;
}
