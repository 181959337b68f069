#pragma once

// Prompts from a file, as people write them and as the field's evaluations come.

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/bytes/lines.hpp"
#include "flowfar/io/data/dataset.hpp"

#include "common/cli/jsonl.hpp"

namespace flowfar::program {

/// What a list of prompts is for, which decides where its images lie.
enum class PromptKind : std::uint8_t {
    lines,     ///< images of each prompt
    captions,  ///< one image per caption, named by the caption's id: what FID is measured on
    geneval    ///< a folder per prompt with its metadata, as GenEval (arXiv 2310.11513) reads it
};

struct PromptList {
    PromptKind kind = PromptKind::lines;
    std::vector<std::string> texts;
    std::vector<std::string> ids = {};      // of captions
    std::vector<std::string> records = {};  // of GenEval, each a JSON object
    std::string path = {};                  // of the file; empty for the prompt of a command line
    std::size_t first_line = 1;

    /// Where prompt i stands, for messages.
    [[nodiscard]] std::string where(std::size_t i) const {
        return path.empty()                  ? "--prompt"
               : kind == PromptKind::geneval ? text(path, ", prompt ", i + 1)
                                             : text(path, ", line ", first_line + i);
    }
};

namespace detail {

/// The fields of a line with tabs between them; quotes around a field, with doubled ones inside, are taken off.
[[nodiscard]] inline std::vector<std::string> fields_of(std::string_view line) {
    std::vector<std::string> out;
    std::istringstream fields(std::string(line) + '\t');
    for (std::string field; std::getline(fields, field, '\t');) {
        std::string inner;
        bool quoted = field.size() >= 2 && field.front() == '"' && field.back() == '"';
        for (std::size_t i = 1; quoted && i + 1 < field.size(); ++i) {
            if (field[i] == '"') {
                ++i;  // the second of a pair, or none
                quoted = i + 1 < field.size() && field[i] == '"';
            }
            inner += field[i];
        }
        out.push_back(quoted ? inner : field);
    }
    return out;
}

/// Where a table's ids and captions stand.
struct CaptionColumns {
    std::size_t id = 0, caption = 1, count = 2;
    bool named = false;  // by the first line

    /// Throws `Error` if the first line names one of the two columns only.
    CaptionColumns(const std::string& path, const std::vector<std::string>& first) {
        const auto find = [&](std::initializer_list<std::string_view> names) {
            for (const std::string_view name : names) {
                const auto found = std::ranges::find_if(first, [&](const std::string& field) {
                    return std::ranges::equal(field, name,
                                              [](unsigned char a, char b) { return std::tolower(a) == b; });
                });
                if (found != first.end()) {
                    return static_cast<std::size_t>(found - first.begin());
                }
            }
            return first.size();
        };
        const std::size_t words = find({"caption", "text", "prompt"});
        const std::size_t name = find({"id", "image_id", "file_name"});
        require((words < first.size()) == (name < first.size()), path,
                ", line 1: expected the names of two columns, id (or image_id, file_name) and caption (or text, "
                "prompt), or neither, found ",
                first[std::min(words, name)], " alone");
        if (words < first.size()) {
            *this = CaptionColumns(name, words, first.size(), true);
        }
    }

   private:
    CaptionColumns(std::size_t i, std::size_t c, std::size_t n, bool by_name)
        : id(i), caption(c), count(n), named(by_name) {}
};

[[nodiscard]] inline PromptList captions_of(const std::string& path, const std::vector<std::string_view>& lines) {
    PromptList out{PromptKind::captions, {}};
    const CaptionColumns columns(path, fields_of(lines.empty() ? "" : lines[0]));
    out.first_line = columns.named ? 2 : 1;
    std::map<std::string, std::size_t> numbers;
    for (std::size_t i = columns.named ? 1 : 0; i < lines.size(); ++i) {
        const auto where = [&] { return text(path, ", line ", i + 1, ": "); };
        const std::vector<std::string> fields = fields_of(lines[i]);
        require(
            fields.size() == columns.count, where(), "expected ", columns.count,
            columns.named ? " columns as the first line has" : " columns, id and caption, or a first line with names",
            ", found ", fields.size());
        const io::Path name = fields[columns.id];  // perhaps a picture's
        const std::string id = (io::detail::has_image_extension(name.string()) ? name.stem() : name).string();
        const bool plain =
            !id.empty() && id.size() <= 200 && id.front() != '.' && std::ranges::all_of(id, [](unsigned char c) {
                return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
            });
        require(plain, where(), "id \"", fields[columns.id],
                "\": expected letters, digits, \"-\" and \"_\", since it names a picture");
        const auto [entry, fresh] = numbers.emplace(id, i + 1);
        require(fresh, where(), "id ", id, " occurs in line ", entry->second, ", too");
        out.texts.push_back(fields[columns.caption]);
        out.ids.push_back(id);
    }
    return out;
}

}  // namespace detail

/// Reads FILE.tsv as captions with ids, FILE.jsonl as GenEval's metadata, any other file as a prompt per line. Throws
/// `Error` with the line for what is malformed, and for files without prompts.
[[nodiscard]] inline PromptList read_prompts(const std::string& path) {
    const std::string content = io::read_text(path);
    PromptList out;
    if (path.ends_with(".tsv")) {
        out = detail::captions_of(path, io::lines_of(content));
    } else if (path.ends_with(".jsonl")) {
        out.kind = PromptKind::geneval;
        std::istringstream lines(content + '\n');  // no line is taken for torn
        for (const Json& record : parse_jsonl(lines, path)) {
            require(record.contains("prompt") && record["prompt"].is_string(), path, ", prompt ", out.texts.size() + 1,
                    ": expected a member \"prompt\" with its text");
            out.texts.push_back(record["prompt"].get<std::string>());
            out.records.push_back(dumped(record));
        }
    } else {
        for (const std::string_view line : io::lines_of(content)) {
            out.texts.emplace_back(line);
        }
    }
    out.path = path;
    require(!out.texts.empty(), path, ": expected prompts, found none");
    return out;
}

}  // namespace flowfar::program
