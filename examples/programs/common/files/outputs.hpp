#pragma once

// Where results go is checked before work begins: hours later is too late.

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"

#include "common/cli/cli.hpp"

namespace flowfar::program {

namespace detail {

/// Throws unless files can be made in an existing folder. `what` begins the message.
inline void check_place(const std::filesystem::path& folder, const std::string& what) {
    std::error_code ignored;
    require(std::filesystem::exists(folder, ignored), what, ": there is no folder ", folder.string());
    require(std::filesystem::is_directory(folder, ignored), what, ": ", folder.string(), " is no folder");
    require(::access(folder.c_str(), W_OK | X_OK) == 0, what, ": no permission to write to ", folder.string());
    struct statvfs room{};
    if (::statvfs(folder.c_str(), &room) == 0) {
        constexpr std::uint64_t least = 1 << 16;
        require((room.f_flag & ST_RDONLY) == 0, what, ": ", folder.string(),
                " cannot be written to (mounted read-only)");
        require(std::uint64_t{room.f_bavail} * room.f_frsize >= least, what, ": no space left in ", folder.string());
    }
}

/// The file that a link leads to, whether or not it exists.
[[nodiscard]] inline std::filesystem::path through_links(std::filesystem::path path) {
    std::error_code problem;
    for (int links = 0; links < 40 && std::filesystem::is_symlink(path, problem); ++links) {
        const std::filesystem::path target = std::filesystem::read_symlink(path, problem);
        path = target.is_absolute() ? target : path.parent_path() / target;
    }
    return path;
}

}  // namespace detail

/// Throws `Error` unless the file can be made or replaced. An empty name is none.
inline void check_output_file(const std::string& name) {
    if (name.empty()) {
        return;
    }
    namespace fs = std::filesystem;
    std::error_code ignored;
    const fs::path file = detail::through_links(name);
    require(!name.ends_with('/') && !fs::is_directory(file, ignored), name,
            ": is a folder, expected the name of a file");
    require(!fs::exists(file, ignored) || fs::is_regular_file(file, ignored), name,
            ": cannot write: not a regular file");
    detail::check_place(fs::absolute(file).parent_path(), name);
}

/// Throws `Error` if an output is one of the files that are read, which would be lost. Empty names count for nothing.
inline void check_not_input(const std::string& output, std::initializer_list<std::string_view> inputs) {
    for (const std::string_view input : inputs) {
        std::error_code ignored;
        require(!std::filesystem::equivalent(output, input, ignored), output, ": is the input, which it would replace");
    }
}

/// Throws UsageError if two of a program's outputs, as option and name, are one file: the second would replace the
/// first.
inline void check_different(const std::vector<std::pair<std::string, std::string>>& outputs) {
    namespace fs = std::filesystem;
    for (auto first = outputs.begin(); first != outputs.end(); ++first) {
        for (auto second = first + 1; second != outputs.end(); ++second) {
            const auto place = [](const std::string& name) {
                return fs::weakly_canonical(fs::absolute(detail::through_links(name)));
            };
            if (!first->second.empty() && !second->second.empty() && place(first->second) == place(second->second)) {
                throw UsageError(text(first->first, " and ", second->first, " are the same file, ", second->second));
            }
        }
    }
}

/// The formats in which an image may be written.
enum class ImageFormats : std::uint8_t { png, png_and_jpeg };

/// An image's file: throws UsageError, too, for a name that does not end as its formats do. `option` begins that
/// message.
inline void check_output_image(const std::string& option, const std::string& name,
                               ImageFormats formats = ImageFormats::png_and_jpeg) {
    if (name.empty()) {
        return;
    }
    const bool jpeg = formats == ImageFormats::png_and_jpeg;
    std::string ending = std::filesystem::path(name).extension().string();
    std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (ending != ".png" && (!jpeg || (ending != ".jpg" && ending != ".jpeg"))) {
        throw UsageError(text(option, " ", name, ": expected a name that ends in .png", jpeg ? ", .jpg or .jpeg" : ""));
    }
    check_output_file(name);
}

/// Throws `Error` unless the folder exists and can be written to, or can be made.
inline void check_output_folder(const std::string& name) {
    if (name.empty()) {
        return;
    }
    namespace fs = std::filesystem;
    std::error_code ignored;
    fs::path folder = fs::absolute(name).lexically_normal();
    while (!fs::exists(folder, ignored) && folder.has_parent_path() && folder != folder.parent_path()) {
        folder = folder.parent_path();
    }
    detail::check_place(folder, name);
}

/// Where results that are named after their inputs go: below `folder`, with another ending. Throws `UsageError` if two
/// share a file, and `Error` for a name that leads out of the folder, as archives may have them.
[[nodiscard]] inline std::vector<std::filesystem::path> files_in(const std::string& folder,
                                                                 const std::vector<std::string>& names,
                                                                 const std::string& ending) {
    namespace fs = std::filesystem;
    std::vector<fs::path> paths;
    std::set<std::string> taken;
    for (const std::string& name : names) {
        fs::path inside = fs::path(name).lexically_normal().relative_path();
        require(!inside.empty() && *inside.begin() != "..", name, ": leads out of the folder");
        paths.push_back(fs::path(folder) / inside.replace_extension(ending));
        if (!taken.insert(paths.back().string()).second) {
            throw UsageError(text("two images would be written to ", paths.back().string()));
        }
    }
    return paths;
}

}  // namespace flowfar::program
