#pragma once

/// Makes checkpoints for tests, valid ones and deliberately odd ones.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "flowfar/core/dtype.hpp"

#include "io_support.hpp"
#include "zip_builder.hpp"

namespace flowfar::testing {

/// A checkpoint {"w": tensor} whose parts can be changed one by one.
struct TorchBuilder {
    std::vector<Index> shape{3, 4};
    std::vector<Index> strides{4, 1};
    Index offset = 0;
    Index count = 12;  ///< elements of the storage, as claimed
    std::string storage_class = "torch\nFloatStorage";
    std::string function = "torch._utils\n_rebuild_tensor_v2";
    std::string key = "0";
    std::string storage = std::string(48, '\0');
    std::string shape_instructions;  ///< in place of `shape`
    std::string before;              ///< instructions that leave a value which is thrown away
    std::uint16_t method = 0;        ///< of the storage's entry

    [[nodiscard]] static std::string integer(Index value) {
        std::string out = "\x8a\x08";
        put_number(out, std::bit_cast<std::uint64_t>(value), 8);
        return out;
    }
    [[nodiscard]] static std::string string(const std::string& characters) {
        std::string out = "X";
        put_number(out, characters.size(), 4);
        return out + characters;
    }
    [[nodiscard]] static std::string tuple(const std::vector<Index>& values) {
        std::string out = "(";
        for (const Index value : values) {
            out += integer(value);
        }
        return out + "t";
    }

    [[nodiscard]] std::string tensor() const {
        return "c" + function + "\n((" + string("storage") + "c" + storage_class + "\n" + string(key) + string("cpu") +
               integer(count) + "tQ" + integer(offset) +
               (shape_instructions.empty() ? tuple(shape) : shape_instructions) + tuple(strides) +
               "\x89"
               "ccollections\nOrderedDict\n)RtR";
    }
    [[nodiscard]] std::string pickle() const {
        return "\x80\x02" + (before.empty() ? before : before + "0") + "}(" + string("w") + tensor() + "u.";
    }
    [[nodiscard]] Bytes file() const {
        ZipBuilder zip;
        zip.add("any/data.pkl", pickle());
        ZipPart part;
        part.name = "any/data/0";
        part.content = storage;
        part.method = method;
        zip.add(part);
        return to_bytes(zip.finish());
    }
};

}  // namespace flowfar::testing
