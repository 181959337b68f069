#pragma once

// A folder of generated images, one file each.

#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "flowfar/io/images/image.hpp"
#include "flowfar/io/images/png.hpp"
#include "flowfar/text/utf8.hpp"

#include "common/cli/jsonl.hpp"
#include "common/files/folder_lock.hpp"
#include "common/text/prompt_list.hpp"

namespace flowfar::program {

/// Written as the images are made. Images that are there already are not made again, so that a command that was
/// interrupted continues where it is repeated. Where they lie:
///
///     classes and lines   class_LABEL/NUMBER.png, numbers counting over all
///     captions            ID.png
///     GenEval             LABEL/metadata.jsonl, LABEL/samples/NUMBER.png: five and four digits, each from 0
class ImageFolder {
   public:
    /// `count` images of each label; `part` tells runs apart that fill the folder together, `record_name` is the file
    /// that keeps the options. Throws `Error` if another run of this part writes there, or if the images there were
    /// made with other options.
    ImageFolder(const std::filesystem::path& folder, const Json& made_with, PromptList prompts, Index count,
                const std::string& part, const std::string& record_name = "far_generate.json")
        : folder_(made(folder)),
          lock_(folder, part.empty() ? "lock" : "lock_" + part),
          prompts_(std::move(prompts)),
          count_(count) {
        for (const char* const other : {"far_generate.json", "token_generate.json"}) {
            require(other == record_name || !std::filesystem::exists(folder / other), folder.string(),
                    ": holds images of another program (", other, "); choose another --folder");
        }
        const std::filesystem::path record = folder / record_name;
        if (std::filesystem::exists(record)) {
            const Json found = Json::parse(io::read_text(record), nullptr, false);
            require(found.is_object(), record.string(),
                    ": damaged; choose another --folder, or remove that file if all ",
                    "images there are of this command");
            for (const auto& [key, value] : made_with.items()) {
                if (key == "precision" && !found.contains(key)) {
                    continue;  // earlier versions did not tell
                }
                const Json before = found.contains(key) ? found[key]
                                    : key == "solver"   ? Json("ddpm")  // all that earlier versions had
                                                        : Json();
                require(before == value, folder.string(), ": holds images made with other options: ", key, " was ",
                        shown(before), ", now ", shown(value), "; choose another --folder");
            }
        } else {
            write_json(record, made_with);
        }
    }
    [[nodiscard]] bool holds(Index number, Index label) const { return std::filesystem::exists(place(number, label)); }
    [[nodiscard]] Image read(Index number, Index label) const { return io::read_image(place(number, label)); }
    void write(Index number, Index label, const Image& image) const {
        const std::filesystem::path file = place(number, label);
        std::filesystem::create_directories(file.parent_path());
        if (prompts_.kind == PromptKind::geneval) {
            const std::string record = prompts_.records[static_cast<std::size_t>(label)] + '\n';
            const std::filesystem::path metadata = file.parent_path().parent_path() / "metadata.jsonl";
            if (!std::filesystem::exists(metadata)) {
                io::write_atomically(metadata, std::as_bytes(std::span(record)));
            }
        }
        io::write_png(file, image);
    }

   private:
    static const std::filesystem::path& made(const std::filesystem::path& folder) {
        std::filesystem::create_directories(folder);
        return folder;
    }
    /// What a message has room for.
    [[nodiscard]] static std::string shown(const Json& value) {
        constexpr std::size_t most = 200;
        const std::string all = dumped(value);
        return all.size() <= most ? all : repaired_utf8(all.substr(0, most)) + " ...";
    }
    [[nodiscard]] static std::string digits(Index number, int count) {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "%0*lld", count, static_cast<long long>(number));
        return buffer;
    }
    [[nodiscard]] std::filesystem::path place(Index number, Index label) const {
        switch (prompts_.kind) {
            case PromptKind::captions:
                return folder_ / (prompts_.ids[static_cast<std::size_t>(label)] + ".png");
            case PromptKind::geneval:
                return folder_ / digits(label, 5) / "samples" / (digits(number % count_, 4) + ".png");
            case PromptKind::lines:
                break;
        }
        return folder_ / text("class_", label < 0 ? "any" : text(label)) / text(number, ".png");
    }

    std::filesystem::path folder_;
    FolderLock lock_;
    PromptList prompts_;
    Index count_;
};

}  // namespace flowfar::program
