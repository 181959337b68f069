#pragma once

// Work that several runs share.

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "flowfar/core/dtype.hpp"

#include "common/cli/cli.hpp"

namespace flowfar::program {

/// One of several parts of nearly equal size, counted from 1.
struct Part {
    Index number = 1, count = 1;

    /// Reads "2/4"; an empty word is the whole. Throws UsageError that begins with the option.
    [[nodiscard]] static Part of(const std::string& option, std::string_view word) {
        Part out;
        if (word.empty()) {
            return out;
        }
        const std::size_t slash = std::min(word.find('/'), word.size());
        const auto read = [](std::string_view digits, Index& to) {
            const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), to);
            return status == std::errc() && end == digits.data() + digits.size();
        };
        if (slash == word.size() || !read(word.substr(0, slash), out.number) ||
            !read(word.substr(slash + 1), out.count) || out.number < 1 || out.number > out.count ||
            out.count > 1'000'000) {
            throw UsageError(text(option, " ", word, ": expected a part such as 2/4"));
        }
        return out;
    }
    /// [first, end) of `all` things.
    [[nodiscard]] std::pair<Index, Index> range(Index all) const {
        return {all * (number - 1) / count, all * number / count};
    }
    /// For files: "2_of_4"; empty for the whole.
    [[nodiscard]] std::string name() const { return count == 1 ? std::string() : text(number, "_of_", count); }
};

}  // namespace flowfar::program
