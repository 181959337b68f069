#pragma once

/// The definitions of webdataset.hpp.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/data/webdataset.hpp"

namespace flowfar::io {

namespace detail {

inline constexpr Index most_shard_classes = Index{1} << 20;

inline std::string_view trimmed(std::string_view characters) {
    constexpr std::string_view blank = " \t\r\n";
    characters.remove_prefix(std::min(characters.find_first_not_of(blank), characters.size()));
    return characters.substr(0, characters.find_last_not_of(blank) + 1);
}

/// The label in a sample's JSON as text; nothing if it has none.
inline std::optional<std::string> json_label(std::string_view characters) {
    constexpr int depth_limit = 32;
    const auto shallow = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
        require(depth <= depth_limit, "nested deeper than ", depth_limit, " levels");
        return true;
    };
    const nlohmann::json sample = nlohmann::json::parse(characters, shallow, false);
    if (sample.is_object()) {
        for (const char* const key : {"label", "class", "cls"}) {
            const auto found = sample.find(key);
            if (found == sample.end() || found->is_null()) {
                continue;
            }
            if (found->is_string()) {
                return found->get<std::string>();
            }
            // Tables with gaps write whole numbers as 3.0.
            const bool whole = found->is_number_float() && std::floor(found->get<double>()) == found->get<double>() &&
                               std::fabs(found->get<double>()) <= static_cast<double>(most_shard_classes);
            require(found->is_number_integer() || whole, '"', key, "\": expected a whole number or a name, found ",
                    found->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 40));
            return whole ? std::to_string(static_cast<Index>(found->get<double>())) : found->dump();
        }
    }
    return std::nullopt;
}

}  // namespace detail

FLOWFAR_INLINE std::string shard_key(std::string_view name) {
    const std::size_t folder = name.rfind('/') + 1;  // npos + 1 is 0
    return std::string(name.substr(0, std::min(name.find('.', folder), name.size())));
}

FLOWFAR_INLINE std::optional<ShardLabels> shard_labels(const TarFile& archive) {
    std::map<std::string, std::string> texts;
    for (const std::string_view ending : {".json", ".cls"}) {  // the latter overrides
        for (const TarEntry& entry : archive.entries()) {
            if (!entry.name.ends_with(ending) || shard_key(entry.name).size() + ending.size() != entry.name.size()) {
                continue;
            }
            const auto bytes = archive.bytes(entry);
            const std::string_view characters(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            const auto where = [&] { return text(archive.path().string(), ": ", entry.name, ": "); };
            try {
                const std::optional<std::string> label =
                    ending == ".cls" ? std::string(detail::trimmed(characters)) : detail::json_label(characters);
                if (label) {
                    require(!label->empty() && label->size() <= 1000,
                            "expected a class of 1 to 1000 characters, found ", label->size());
                    texts[shard_key(entry.name)] = *label;
                }
            } catch (const Error& error) {
                fail(where(), error.what());
            }
        }
    }
    if (texts.empty()) {
        return std::nullopt;
    }
    ShardLabels out;
    std::set<std::string> names;
    std::string example;
    for (const auto& [key, label] : texts) {
        Index number = 0;
        const auto [end, status] = std::from_chars(label.data(), label.data() + label.size(), number);
        if (status == std::errc() && end == label.data() + label.size()) {
            require(number >= 0 && number < detail::most_shard_classes, archive.path().string(), ": sample \"", key,
                    "\": label ", number, ", expected 0 to ", detail::most_shard_classes - 1);
            out.of_key[key] = number;
        } else {
            names.insert(label);
            example = key;
        }
    }
    if (names.empty()) {
        Index most = 0;
        for (const auto& [key, label] : out.of_key) {
            most = std::max(most, label);
        }
        for (Index label = 0; label <= most; ++label) {
            out.class_names.push_back(std::to_string(label));
        }
        return out;
    }
    require(out.of_key.empty(), archive.path().string(), ": sample \"",
            out.of_key.empty() ? "" : out.of_key.begin()->first, "\" is labeled by a number, sample \"", example,
            "\" by the name \"", texts.at(example), "\"");
    out.class_names.assign(names.begin(), names.end());
    for (const auto& [key, label] : texts) {
        out.of_key[key] = std::ranges::lower_bound(out.class_names, label) - out.class_names.begin();
    }
    return out;
}

}  // namespace flowfar::io
