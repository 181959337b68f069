#pragma once

/// Images with a text each.

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/lines.hpp"
#include "flowfar/io/data/dataset.hpp"

namespace flowfar::io {

/// The label of an image is the number of its caption: `captions[images.label(i)]`, also in views of the images.
struct CaptionedImages {
    ImageDataset images;
    std::vector<std::string> captions;
};

namespace detail {

inline constexpr std::size_t longest_caption = 65'536;  // bytes

[[nodiscard]] inline std::string caption_of(std::string_view characters, const std::string& where) {
    constexpr std::string_view blank = " \t\r\n";
    characters.remove_prefix(std::min(characters.find_first_not_of(blank), characters.size()));
    characters = characters.substr(0, characters.find_last_not_of(blank) + 1);
    require(characters.size() <= longest_caption, where, ": a caption of ", characters.size(),
            " bytes, expected at most ", longest_caption);
    return std::string(characters);
}

/// The texts of a shard by the names of its images, KEY.txt for KEY.jpg.
[[nodiscard]] inline std::map<std::string, std::string> captions_of(const TarFile& archive) {
    std::map<std::string, std::string> out;
    for (const TarEntry& entry : archive.entries()) {
        if (entry.name.ends_with(".txt") && shard_key(entry.name).size() + 4 == entry.name.size()) {
            const auto bytes = archive.bytes(entry);
            out[shard_key(entry.name)] = caption_of({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                                                    text(archive.path().string(), ": ", entry.name));
        }
    }
    return out;
}
/// The lines "NAME<tab>CAPTION" of a file.
[[nodiscard]] inline std::map<std::string, std::string> captions_of(const Path& path) {
    std::map<std::string, std::string> out;
    const std::string content = read_text(path);
    Index number = 0;
    for (const std::string_view line : lines_of(content)) {
        ++number;
        if (line.empty()) {
            continue;
        }
        const std::string where = text(path.string(), ", line ", number);
        const std::size_t tab = line.find('\t');
        require(tab != line.npos && tab > 0, where, ": expected the name of an image, a tab, and its caption");
        const std::string name(line.substr(0, tab));
        require(out.emplace(name, caption_of(line.substr(tab + 1), where)).second, where, ": ", name,
                " has a caption already");
    }
    return out;
}

}  // namespace detail

/// Opens a WebDataset-style tar, in which KEY.txt is the caption of KEY.jpg (or .png), or a folder of images with a
/// file captions.txt, whose lines are an image's name below the folder, a tab, and the caption. Throws `Error` for
/// images without a caption, and for captions of images that are not there.
[[nodiscard]] inline CaptionedImages read_captioned(const Path& path) {
    const bool folder = std::filesystem::is_directory(path);
    const Path list = path / "captions.txt";
    require(!folder || std::filesystem::exists(list), path.string(),
            ": expected captions.txt in the folder, with an image's name, a tab and its caption in each line");
    std::map<std::string, std::string> texts;
    const auto opened = [&] {
        if (folder) {
            texts = detail::captions_of(list);
            return ImageDataset(path);
        }
        TarFile archive(path);
        texts = detail::captions_of(archive);
        return ImageDataset(std::move(archive));
    };
    CaptionedImages out{opened().numbered(), {}};
    std::map<std::string, std::string> images;  // by key
    for (Index i = 0; i < out.images.size(); ++i) {
        const std::string& name = out.images.name(i);
        const std::string key = folder ? name : shard_key(name);
        const auto [first, only] = images.emplace(key, name);
        require(only, path.string(), ": several images for the key \"", key, "\": ", first->second, " and ", name);
        const auto found = texts.find(key);
        require(found != texts.end(), path.string(), ": ", name, " has no caption",
                folder ? " in captions.txt" : text(", expected ", key, ".txt"));
        out.captions.push_back(found->second);
    }
    for (const auto& [key, caption] : texts) {
        require(images.contains(key), path.string(), ": a caption of ", key, folder ? "" : ".*",
                ", which is no image there");
    }
    return out;
}

}  // namespace flowfar::io
