#pragma once

// One option of a command line: its type, limits, help text and how its value is read. Programs use it through cli.hpp.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar::program {

/// The command line is wrong. A program's body may throw it too, for options that do not fit together.
class UsageError : public Error {
   public:
    using Error::Error;
};

/// The candidate with the fewest insertions, deletions, replacements and swaps of neighbors away from `word`; empty
/// when none is near enough to be a slip of the fingers.
inline std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates) {
    std::string best;
    std::size_t least = 1 + std::max<std::size_t>(2, word.size() / 3);
    for (const std::string& candidate : candidates) {
        const std::size_t width = candidate.size() + 1;
        std::vector<std::size_t> distance((word.size() + 1) * width);  // [characters of word, characters of candidate]
        for (std::size_t i = 0; i <= word.size(); ++i) {
            for (std::size_t j = 0; j < width; ++j) {
                std::size_t& cell = distance[i * width + j];
                if (i == 0 || j == 0) {
                    cell = i + j;
                    continue;
                }
                const std::size_t differ = word[i - 1] == candidate[j - 1] ? 0 : 1;
                cell = std::min({distance[(i - 1) * width + j] + 1, distance[i * width + j - 1] + 1,
                                 distance[(i - 1) * width + j - 1] + differ});
                if (i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1]) {
                    cell = std::min(cell, distance[(i - 2) * width + j - 2] + 1);
                }
            }
        }
        if (distance.back() < least && distance.back() < candidate.size()) {
            least = distance.back();
            best = candidate;
        }
    }
    return best;
}

/// What an option's value may be: int, Index, float, double, std::string, or a path as std::string.
template <class T>
concept OptionScalar = (std::integral<T> && !std::same_as<T, bool> && sizeof(T) >= 4) || std::floating_point<T> ||
                       std::same_as<T, std::string>;

namespace detail {

template <class T>
struct OptionValue {
    using Scalar = T;
    static constexpr bool list = false;
};
template <class T>
struct OptionValue<std::optional<T>> : OptionValue<T> {};
template <class T>
struct OptionValue<std::vector<T>> {
    using Scalar = T;
    static constexpr bool list = true;
};

inline std::string shown(const std::string& value) {
    return value;
}
template <class T>
    requires std::is_arithmetic_v<T>
std::string shown(T value) {
    return text(value);
}
template <class T>
std::string shown(const std::optional<T>& value) {
    return value ? shown(*value) : std::string();
}
template <class T>
std::string shown(const std::vector<T>& values) {
    std::string out;
    for (const T& value : values) {
        out += (out.empty() ? "" : ",") + shown(value);
    }
    return out;
}

inline std::string joined(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) {
        out += (out.empty() ? "" : ", ") + word;
    }
    return out;
}

/// Limits of one option's value.
template <class T>
struct Constraint {
    std::optional<T> low, high;
    bool low_is_open = false;          // low itself is refused
    std::vector<std::string> choices;  // for strings; empty means anything
    bool may_be_empty = false;         // for strings

    /// "1 to 9", "above 0, at most 1", "one of lo, hi"; empty where nothing was declared.
    [[nodiscard]] std::string description() const {
        if (!choices.empty()) {
            return "one of " + joined(choices);
        }
        if (low && high && !low_is_open) {
            return shown(*low) + " to " + shown(*high);
        }
        std::string out = low ? (low_is_open ? "above " : "at least ") + shown(*low) : std::string();
        if (high) {
            out += (out.empty() ? "at most " : ", at most ") + shown(*high);
        }
        return out;
    }

    /// As description(), but an undeclared limit shows what the type holds.
    [[nodiscard]] std::string allowed() const {
        if constexpr (std::integral<T>) {
            Constraint full = *this;
            full.low = low.value_or(std::numeric_limits<T>::min());
            full.high = high.value_or(std::numeric_limits<T>::max());
            return full.description();
        } else {
            const std::string declared = description();
            return declared.empty() ? "any finite number" : declared;
        }
    }

    [[nodiscard]] T parse(const std::string& name, std::string_view token) const {
        if constexpr (std::same_as<T, std::string>) {
            // What scripts give for a variable that is not set would otherwise be as if the option were not there.
            if (token.empty() && !may_be_empty) {
                throw UsageError(text(name, ": expected something, found an empty word"));
            }
            std::string value(token);
            if (!choices.empty() && std::ranges::find(choices, value) == choices.end()) {
                const std::string near = nearest_word(value, choices);
                throw UsageError(text(name, ": \"", value, "\" is not one of ", joined(choices),
                                      near.empty() ? "" : "; did you mean " + near + "?"));
            }
            return value;
        } else {
            T value{};
            const auto [end, status] = std::from_chars(token.data(), token.data() + token.size(), value);
            bool inside = status == std::errc();
            if (status == std::errc::invalid_argument || end != token.data() + token.size()) {
                throw UsageError(text(name, ": \"", token, "\" is not a ", std::integral<T> ? "whole number" : "number",
                                      " (allowed: ", allowed(), ")"));
            }
            if constexpr (std::floating_point<T>) {
                inside = inside && std::isfinite(value);
            }
            inside = inside && !(low && (low_is_open ? value <= *low : value < *low)) && !(high && value > *high);
            if (!inside) {
                throw UsageError(text(name, ": ", token, " is out of range (allowed: ", allowed(), ")"));
            }
            return value;
        }
    }
};

/// One option or positional, without its type.
struct Entry {
    std::string name;         // with dashes for options, in capitals for positionals
    std::string alias;        // "-o", or empty; of positionals "--data"
    std::string former;       // a name of the last version, or empty
    std::string placeholder;  // "N", "X", "TEXT"; empty for flags
    std::string help, section, default_text;
    std::function<std::string()> limits;
    std::function<void(std::span<const std::string_view>)> set;  // one word, or for a list any number of them
    bool required = false, flag = false, list = false, given = false;
};

/// The entry that sets `value`. Its limits are read when they are needed, so they may be declared after it.
template <class T>
Entry make_entry(std::string name, T& value, std::string help,
                 std::shared_ptr<const Constraint<typename OptionValue<T>::Scalar>> constraint) {
    using Scalar = typename OptionValue<T>::Scalar;
    Entry entry;
    entry.name = std::move(name);
    entry.help = std::move(help);
    entry.default_text = shown(value);
    entry.list = OptionValue<T>::list;
    entry.placeholder = std::integral<Scalar> ? "N" : std::floating_point<Scalar> ? "X" : "TEXT";
    entry.limits = [constraint] { return constraint->description(); };
    entry.set = [&value, name = entry.name, constraint](std::span<const std::string_view> words) {
        if constexpr (OptionValue<T>::list) {
            T values;
            for (const std::string_view word : words) {
                values.push_back(constraint->parse(name, word));
            }
            value = std::move(values);
        } else {
            value = constraint->parse(name, words.front());
        }
    };
    return entry;
}

/// Breaks `prose` at spaces into lines of at most `width`, each after the first indented by `indent` spaces.
inline std::string wrapped(std::string_view prose, std::size_t indent, std::size_t width = 80) {
    std::string out;
    std::size_t column = indent;
    while (!prose.empty()) {
        const std::size_t length = std::min(prose.find(' '), prose.size());
        const std::string_view word = prose.substr(0, length);
        prose.remove_prefix(std::min(length + 1, prose.size()));
        if (column > indent && column + 1 + word.size() > width) {
            out += '\n' + std::string(indent, ' ');
            column = indent;
        } else if (column > indent) {
            out += ' ';
            ++column;
        }
        out += word;
        column += word.size();
    }
    return out;
}

}  // namespace detail

/// Refines an option just declared; each member returns the handle, so calls chain.
template <class T>
class OptionHandle {
   public:
    using Scalar = typename detail::OptionValue<T>::Scalar;

    OptionHandle(detail::Entry& entry, std::shared_ptr<detail::Constraint<Scalar>> constraint)
        : entry_(&entry), constraint_(std::move(constraint)) {}

    /// low ≤ value ≤ high
    OptionHandle& range(Scalar low, Scalar high) {
        constraint_->low = low;
        constraint_->high = high;
        return *this;
    }
    /// low ≤ value
    OptionHandle& at_least(Scalar low) {
        constraint_->low = low;
        return *this;
    }
    /// low < value (≤ high)
    OptionHandle& above(Scalar low, std::optional<Scalar> high = std::nullopt) {
        constraint_->low = low;
        constraint_->high = high;
        constraint_->low_is_open = true;
        return *this;
    }
    /// The value must be one of these words.
    OptionHandle& choices(std::vector<std::string> words)
        requires std::same_as<Scalar, std::string>
    {
        std::string shown;
        for (const std::string& word : words) {
            shown += (shown.empty() ? "" : "|") + word;
        }
        if (entry_->name.starts_with("--")) {
            const bool fits = shown.size() <= 50;
            entry_->placeholder = fits ? shown : "NAME";
            if (fits) {
                entry_->limits = [] { return std::string(); };  // the placeholder says them
            }
        }
        constraint_->choices = std::move(words);
        return *this;
    }
    /// An empty word is a value, too.
    OptionHandle& may_be_empty()
        requires std::same_as<Scalar, std::string>
    {
        constraint_->may_be_empty = true;
        return *this;
    }
    /// What help shows in place of the value, "FILE" for one.
    OptionHandle& placeholder(std::string word) {
        entry_->placeholder = std::move(word);
        return *this;
    }
    /// A second name: a short one such as "-o"; of a positional, an option that gives the same, such as "--data".
    OptionHandle& alias(std::string name) {
        entry_->alias = std::move(name);
        return *this;
    }
    /// The option's name in the last version, which still works and is warned about: "--limit". Drop it in the next.
    OptionHandle& formerly(std::string name) {
        entry_->former = std::move(name);
        return *this;
    }
    OptionHandle& required() {
        entry_->required = true;
        return *this;
    }
    /// For positionals, which are required unless this says otherwise.
    OptionHandle& optional() {
        entry_->required = false;
        return *this;
    }

   private:
    detail::Entry* entry_;
    std::shared_ptr<detail::Constraint<Scalar>> constraint_;
};

}  // namespace flowfar::program
