/// Checkpoints whose tensors share large descriptions, each of which would be copied for every tensor: small files that
/// could fill the memory or take hours.

#include <cstdint>
#include <doctest/doctest.h>
#include <limits>
#include <string>

#include "flowfar/io/tensors/torch_checkpoint.hpp"

#include "io_support.hpp"
#include "torch_builder.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

std::string message_of(const std::string& pickle, const std::string& key = "0") {
    ZipBuilder zip;
    zip.add("any/data.pkl", pickle);
    ZipPart part;
    part.name = "any/data/" + key;
    part.content = std::string(48, '\0');
    zip.add(part);
    const Bytes bytes = to_bytes(zip.finish());
    return error_text([&] { io::TorchCheckpoint file(io::MappedFile::of_memory("x.pth", bytes)); });
}

/// A tensor with that many flags, such as PyTorch's "conj".
std::string flagged(int count) {
    const std::string tensor = TorchBuilder{}.tensor();
    std::string flags = "}(";
    for (int i = 0; i < count; ++i) {
        flags += TorchBuilder::string(std::to_string(i)) + "\x89";
    }
    return "\x80\x02}(" + TorchBuilder::string("w") + tensor.substr(0, tensor.size() - 2) + flags + "utRu.";
}

}  // namespace

TEST_CASE("extents, strides, keys and flags are short") {
    TorchBuilder many;
    many.shape.assign(65, 1);
    many.strides.assign(65, 1);
    CHECK(message_of(many.pickle()) == "x.pth: \"w\": 65 axes, expected at most 64");
    many.shape.assign(64, 1);
    many.strides.assign(64, 1);
    CHECK(message_of(many.pickle()) == "no error");

    TorchBuilder named;
    named.key = std::string(256, 'k');
    CHECK(message_of(named.pickle(), named.key) == "no error");
    named.key += 'k';
    CHECK(message_of(named.pickle(), named.key) ==
          "x.pth: \"w\": a storage's key or device of more than 256 characters");

    CHECK(message_of(flagged(16)) == "no error");
    CHECK(message_of(flagged(17)) == "x.pth: \"w\": 17 flags, expected at most 16");
}

TEST_CASE("the size of a tensor that repeats one element does not wrap around") {
    TorchBuilder endless;
    endless.shape = {Index{1} << 62};
    endless.strides = {0};
    const Bytes bytes = endless.file();
    const io::TorchCheckpoint file(io::MappedFile::of_memory("x.pth", bytes));
    CHECK(file.info("w").size == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("tensors and objects that occur many times are not described each time") {
    const auto repeated = [](const std::string& value, int times) {
        std::string pickle = "\x80\x02(" + value;
        pickle += std::string(static_cast<std::size_t>(times), '2');  // DUP
        return message_of(pickle + "l.", std::string(256, 'k'));
    };
    TorchBuilder large;
    large.shape.assign(64, 1);
    large.strides.assign(64, 1);
    large.key = std::string(256, 'k');
    const char* const refused = "x.pth: refused: descriptions of tensors and objects far longer than the whole pickle";
    CHECK(repeated(large.tensor(), 10) == "no error");
    CHECK(repeated(large.tensor(), 100'000) == refused);
    const std::string object = "c__main__\n" + std::string(500, 'T') + "\n)R";
    CHECK(repeated(object + TorchBuilder{large}.tensor(), 10) == "no error");
    CHECK(repeated(object, 5000) == refused);
}

TEST_CASE("containers that occur many times are not listed each time") {
    const auto repeated = [](const std::string& container) {
        std::string pickle = "\x80\x02" + container + "q";
        pickle += '\0';
        pickle += "0](";
        for (int i = 0; i < 500; ++i) {
            pickle += "h";
            pickle += '\0';
        }
        return message_of(pickle + "e.");
    };
    std::string keys = "}(";
    std::string elements = "](";
    for (int i = 0; i < 1000; ++i) {
        keys += "K\x01}";  // an empty dict, which needs no description
        elements += "N";
    }
    CHECK(repeated(keys + "u") == "x.pth: refused: containers that contain each other without end");
    CHECK(repeated(elements + "e") == "x.pth: refused: long lists that occur without end");
}
