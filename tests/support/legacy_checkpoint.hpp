#pragma once

/// Checkpoints as PyTorch before 1.6 wrote them: a stream of pickles (magic number, protocol, sizes of types, the
/// object, the keys of its storages), then each storage's number of elements and bytes.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace flowfar::testing {

struct LegacyTensor {
    std::string name;
    std::vector<std::int64_t> shape;
    std::vector<float> values;
};

/// A dict with the tensors of float under `root`, and beside it the number `total_steps`.
[[nodiscard]] inline std::string legacy_checkpoint(std::string_view root, const std::vector<LegacyTensor>& tensors) {
    const auto number = [](std::int64_t value, std::size_t bytes) {
        std::string out(bytes, '\0');
        std::memcpy(out.data(), &value, bytes);
        return out;
    };
    const auto word = [&](std::string_view text) {
        return "X" + number(static_cast<std::int64_t>(text.size()), 4) + std::string(text);
    };
    const auto integer = [&](std::int64_t value) { return "J" + number(value, 4); };
    const auto tuple = [&](const std::vector<std::int64_t>& values) {
        std::string out = "(";
        for (const std::int64_t value : values) {
            out += integer(value);
        }
        return out + "t";
    };
    const std::string empty = "ccollections\nOrderedDict\n)R";
    const std::string head = "\x80\x02";
    std::string out = head + "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + head + "M\xe9\x03.";
    out += head + "}(" + word("protocol_version") + "M\xe9\x03" + word("little_endian") + "\x88" + word("type_sizes") +
           "}(" + word("short") + "K\x02" + word("int") + "K\x04" + word("long") + "K\x08uu.";
    out += head + "}(" + word(root) + empty + "(";
    std::string keys = head + "](";
    std::string storages;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const LegacyTensor& t = tensors[i];
        const auto count = static_cast<std::int64_t>(t.values.size());
        std::vector<std::int64_t> strides(t.shape.size(), 1);
        for (std::size_t axis = t.shape.size(); axis-- > 1;) {
            strides[axis - 1] = strides[axis] * t.shape[axis];
        }
        const std::string key = std::to_string(94000 + i);
        out += word(t.name) + "ctorch._utils\n_rebuild_tensor_v2\n((" + word("storage") + "ctorch\nFloatStorage\n" +
               word(key) + word("cpu") + integer(count) + "NtQ" + integer(0) + tuple(t.shape) + tuple(strides) +
               "\x89" + empty + "tR";
        keys += word(key);
        storages += number(count, 8);
        storages.append(reinterpret_cast<const char*>(t.values.data()), t.values.size() * sizeof(float));
    }
    return out + "u" + word("total_steps") + integer(1000) + "u." + keys + "e." + storages;
}

}  // namespace flowfar::testing
