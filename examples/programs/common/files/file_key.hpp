#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "flowfar/core/philox.hpp"
#include "flowfar/io/bytes/file.hpp"

namespace flowfar::program {

/// Tells files of different contents apart: their size and a hash of all bytes.
[[nodiscard]] inline std::string file_key(const io::Path& path) {
    const io::MappedFile file(path);
    const std::span<const std::byte> bytes = file.bytes();
    std::uint64_t key = bytes.size();
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
        key = fold(key, word);
    }
    return text(bytes.size(), " bytes, key ", key);
}

}  // namespace flowfar::program
