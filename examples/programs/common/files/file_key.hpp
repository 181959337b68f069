#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <set>
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

/// `file_key` of a language model's folder: weights, tokenizer and configuration, whatever else lies there.
[[nodiscard]] inline std::string language_key(const io::Path& folder) {
    std::set<io::Path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".safetensors") {
            files.insert(entry.path());
        }
    }
    for (const char* name :
         {"config.json", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json"}) {
        if (std::filesystem::exists(folder / name)) {
            files.insert(folder / name);
        }
    }
    std::uint64_t key = 0;
    for (const io::Path& file : files) {
        key = fold(fold(key, file.filename().string()), file_key(file));
    }
    return text(files.size(), " files, key ", key);
}

}  // namespace flowfar::program
