#pragma once

/// The definitions of load_tokenizer.hpp.

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/text/byte_alphabet.hpp"
#include "flowfar/text/load_tokenizer.hpp"

namespace flowfar {

namespace tokenizer_files {

namespace detail {

using Json = nlohmann::json;

// Qwen2's tokenizer.json has 7 to 11 MB and half a million values.
inline constexpr std::size_t most_bytes = 64'000'000;
inline constexpr std::size_t most_values = 4'000'000;
inline constexpr std::size_t most_symbol = 4096;  // bytes of a token

[[nodiscard]] inline std::string_view characters_of(const io::MappedFile& file) {
    require(file.size() <= most_bytes, file.path().string(), ": ", file.size(), " bytes, expected at most ",
            most_bytes);
    return {reinterpret_cast<const char*>(file.bytes().data()), file.size()};
}

[[nodiscard]] inline Json parse_object(const io::MappedFile& file) {
    const std::string_view characters = characters_of(file);
    const std::string where = file.path().string();
    std::size_t values = 0;
    const auto limited = [&](int depth, Json::parse_event_t, Json&) {
        require(depth <= 16, where, ": nested too deeply");
        require(++values <= most_values, where, ": more than ", most_values, " values");
        return true;
    };
    Json out = Json::parse(characters.begin(), characters.end(), limited, false);
    require(out.is_object(), where, ": not a JSON object");
    return out;
}

/// A member, or null.
[[nodiscard]] inline const Json& member(const Json& object, const char* name) {
    static const Json null;
    if (!object.is_object()) {
        return null;
    }
    const auto found = object.find(name);
    return found == object.end() ? null : *found;
}
[[nodiscard]] inline std::string string_of(const Json& value) {
    return value.is_string() ? value.get<std::string>() : std::string();
}
[[nodiscard]] inline bool is_true(const Json& value) {
    return value.is_boolean() && value.get<bool>();
}

[[nodiscard]] inline Index id_of(const Json& value, const std::string& where, std::string_view token) {
    require(value.is_number_unsigned() && value.get<std::uint64_t>() < 0x7FFFFFFF, where, ": token \"", token,
            "\": expected an id, found ", value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 40));
    return static_cast<Index>(value.get<std::uint64_t>());
}

[[nodiscard]] inline std::string bytes_of(std::string_view symbol, const std::string& where) {
    require(symbol.size() <= most_symbol, where, ": a symbol of ", symbol.size(), " bytes, expected at most ",
            most_symbol);
    const auto bytes = byte_alphabet::bytes_of(symbol);
    require(bytes.has_value() && !bytes->empty(), where, ": \"", symbol, "\" is not written in the alphabet of bytes");
    return *bytes;
}

inline void read_vocabulary(const Json& table, const std::string& where, BpeVocabulary& out) {
    require(table.is_object() && !table.empty(), where, ": no tokens");
    out.tokens.assign(table.size(), {});
    for (const auto& [symbol, value] : table.items()) {
        const Index id = id_of(value, where, symbol);
        require(id < static_cast<Index>(table.size()), where, ": token \"", symbol, "\": id ", id, " of ", table.size(),
                " tokens, whose ids must be 0, 1, …");
        std::string& token = out.tokens[static_cast<std::size_t>(id)];
        require(token.empty(), where, ": token \"", symbol, "\": id ", id, " occurs twice");
        token = bytes_of(symbol, where);
    }
}

/// `place` says where the merge stands.
inline void add_merge(std::string_view left, std::string_view right, const std::string& place, BpeVocabulary& out) {
    require(out.merges.size() < most_values, place, ": more than ", most_values, " merges");
    out.merges.emplace_back(bytes_of(left, place), bytes_of(right, place));
}
inline void add_merge(std::string_view line, const std::string& place, BpeVocabulary& out) {
    const std::size_t space = line.find(' ');
    require(space != line.npos && line.find(' ', space + 1) == line.npos, place, ": expected \"left right\", found \"",
            line.substr(0, 80), "\"");
    add_merge(line.substr(0, space), line.substr(space + 1), place, out);
}

/// One entry of `added_tokens` or `added_tokens_decoder`.
inline void add_token(Index id, const Json& entry, const std::string& where, BpeVocabulary& out) {
    const std::string content = string_of(member(entry, "content"));
    require(!content.empty() && content.size() <= most_symbol, where, ": added token ", id,
            ": no content, or more than ", most_symbol, " bytes");
    for (const char* flag : {"lstrip", "rstrip", "single_word", "normalized"}) {
        require(!is_true(member(entry, flag)), where, ": added token \"", content, "\": \"", flag,
                "\" is not supported");
    }
    out.added.push_back({id, content, is_true(member(entry, "special"))});
}

/// What a tokenizer of this kind must state; other values would give other ids.
inline void check_kind(const Json& root, const std::string& where) {
    const Json& model = member(root, "model");
    require(string_of(member(model, "type")) == "BPE", where, ": model \"", string_of(member(model, "type")),
            "\", expected \"BPE\"");
    for (const char* flag : {"byte_fallback", "fuse_unk", "ignore_merges"}) {
        require(!is_true(member(model, flag)), where, ": model: \"", flag, "\" is not supported");
    }
    for (const char* option : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
        const Json& value = member(model, option);
        require(value.is_null() || value == "", where, ": model: \"", option, "\" is not supported");
    }
    const std::string normalizer = string_of(member(member(root, "normalizer"), "type"));
    require(normalizer == "NFC", where, ": normalizer \"", normalizer, "\", expected \"NFC\"");
    const Json& steps = member(member(root, "pre_tokenizer"), "pretokenizers");
    require(steps.is_array() && steps.size() == 2, where, ": pre-tokenizer: expected two steps, \"Split\" and ",
            "\"ByteLevel\", found ", steps.is_array() ? text(steps.size()) : std::string("no list"));
    const auto kind = [&](std::size_t step) { return string_of(member(steps[step], "type")); };
    const std::string pattern = string_of(member(member(steps[0], "pattern"), "Regex"));
    require(kind(0) == "Split" && pattern == qwen2_pattern, where, ": pre-tokenizer: \"", kind(0), "\" with pattern \"",
            pattern, "\", expected \"Split\" with \"", qwen2_pattern, "\"");
    require(string_of(member(steps[0], "behavior")) == "Isolated" && !is_true(member(steps[0], "invert")), where,
            ": pre-tokenizer: expected a split into isolated matches");
    // A step that does not say so has a pattern of its own.
    require(kind(1) == "ByteLevel" && member(steps[1], "use_regex") == false &&
                !is_true(member(steps[1], "add_prefix_space")),
            where, ": pre-tokenizer \"", kind(1), "\", expected \"ByteLevel\" without prefix and pattern");
    const Json& after = member(root, "post_processor");
    require(after.is_null() || string_of(member(after, "type")) == "ByteLevel", where, ": post-processor \"",
            string_of(member(after, "type")), "\", expected none or \"ByteLevel\"");
}

}  // namespace detail

FLOWFAR_INLINE void read_vocab_json(const io::MappedFile& file, BpeVocabulary& out) {
    detail::read_vocabulary(detail::parse_object(file), file.path().string(), out);
}

FLOWFAR_INLINE void read_merges(const io::MappedFile& file, BpeVocabulary& out) {
    std::string_view rest = detail::characters_of(file);
    out.merges.clear();
    out.merges_name = file.path().string();
    out.first_merge = 1;
    for (bool first = true; !rest.empty(); first = false) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (first && line.starts_with("#version")) {
            out.first_merge = 2;
        } else if (!(line.empty() && rest.empty())) {
            detail::add_merge(line, out.place_of(out.merges.size()), out);
        }
    }
}

FLOWFAR_INLINE void read_tokenizer_json(const io::MappedFile& file, BpeVocabulary& out) {
    const std::string where = file.path().string();
    const detail::Json root = detail::parse_object(file);
    detail::check_kind(root, where);
    const detail::Json& model = detail::member(root, "model");
    detail::read_vocabulary(detail::member(model, "vocab"), where, out);
    const detail::Json& merges = detail::member(model, "merges");
    require(merges.is_array(), where, ": no merges");
    out.merges.clear();
    out.merges_name.clear();
    for (const detail::Json& merge : merges) {
        const std::string place = text(where, ": merge ", out.merges.size());
        if (merge.is_string()) {
            detail::add_merge(merge.get_ref<const std::string&>(), place, out);
        } else {
            require(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(), place,
                    ": expected \"left right\" or [\"left\", \"right\"]");
            detail::add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(), place,
                              out);
        }
    }
    out.added.clear();
    const detail::Json& added = detail::member(root, "added_tokens");
    require(added.is_null() || added.is_array(), where, ": \"added_tokens\" is not a list");
    for (const detail::Json& entry : added) {
        detail::add_token(detail::id_of(detail::member(entry, "id"), where, "added"), entry, where, out);
    }
}

FLOWFAR_INLINE void read_added_tokens(const io::MappedFile& file, BpeVocabulary& out) {
    const std::string where = file.path().string();
    const detail::Json root = detail::parse_object(file);
    for (const auto& [content, value] : root.items()) {
        require(content.size() <= detail::most_symbol, where, ": a token of ", content.size(), " bytes");
        out.added.push_back({detail::id_of(value, where, content), content, true});
    }
}

FLOWFAR_INLINE void read_tokenizer_config(const io::MappedFile& file, BpeVocabulary& out) {
    const std::string where = file.path().string();
    const detail::Json root = detail::parse_object(file);
    const detail::Json& side = detail::member(root, "padding_side");
    require(side.is_null() || side == "left" || side == "right", where,
            ": padding_side: expected \"left\" or \"right\"");
    out.padding_side = side == "left" ? PaddingSide::left : PaddingSide::right;
    const detail::Json& padding = detail::member(root, "pad_token");
    const std::string name = detail::string_of(padding.is_object() ? detail::member(padding, "content") : padding);
    if (!name.empty()) {
        out.padding = name;
    }
    if (!out.added.empty()) {
        return;
    }
    const detail::Json& added = detail::member(root, "added_tokens_decoder");
    require(added.is_null() || added.is_object(), where, ": \"added_tokens_decoder\" is not an object");
    for (const auto& [key, entry] : added.items()) {
        require(!key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == key.npos, where,
                ": added token \"", key.substr(0, 40), "\": expected an id");
        detail::add_token(std::stol(key), entry, where, out);
    }
}

}  // namespace tokenizer_files

FLOWFAR_INLINE BpeTokenizer load_tokenizer(const io::Path& path) {
    const bool is_folder = std::filesystem::is_directory(path);
    const io::Path folder = is_folder ? path : path.parent_path();
    const auto beside = [&](const char* name) { return std::filesystem::exists(folder / name); };
    BpeVocabulary vocabulary;
    vocabulary.name = path.string();
    if (is_folder && beside("vocab.json") && beside("merges.txt")) {
        tokenizer_files::read_vocab_json(io::MappedFile(folder / "vocab.json"), vocabulary);
        tokenizer_files::read_merges(io::MappedFile(folder / "merges.txt"), vocabulary);
    } else {
        require(!is_folder || beside("tokenizer.json"), path.string(),
                ": no tokenizer, expected vocab.json and merges.txt, or tokenizer.json");
        const io::Path file = is_folder ? folder / "tokenizer.json" : path;
        tokenizer_files::read_tokenizer_json(io::MappedFile(file), vocabulary);
    }
    vocabulary.padding_side = PaddingSide::left;  // Qwen2-VL's, if no file tells
    if (beside("tokenizer_config.json")) {
        tokenizer_files::read_tokenizer_config(io::MappedFile(folder / "tokenizer_config.json"), vocabulary);
    }
    if (vocabulary.added.empty() && beside("added_tokens.json")) {
        tokenizer_files::read_added_tokens(io::MappedFile(folder / "added_tokens.json"), vocabulary);
    }
    if (vocabulary.added.empty()) {  // the bare vocabulary of Qwen2: its specials come right after it
        const auto first = static_cast<Index>(vocabulary.tokens.size());
        vocabulary.added = {{first, "<|endoftext|>"}, {first + 1, "<|im_start|>"}, {first + 2, "<|im_end|>"}};
    }
    return BpeTokenizer(std::move(vocabulary));
}

}  // namespace flowfar
