#pragma once

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace flowfar {

/// The exception for misuse and bad input. Its text names what was wrong: file, tensor, expected and found.
class Error : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

namespace detail {

/// Shortest decimal form that still shows `value` to 6 significant digits.
inline std::string number_text(double value) {
    char buffer[40];
    const int length = std::snprintf(buffer, sizeof buffer, "%.6g", value);
    return std::string(buffer, static_cast<std::size_t>(length));
}

template <class Part>
void append_text(std::string& out, const Part& part) {
    if constexpr (std::is_convertible_v<const Part&, std::string_view>) {
        out += std::string_view(part);
    } else if constexpr (std::same_as<Part, char>) {
        out += part;
    } else if constexpr (std::same_as<Part, bool>) {
        out += part ? "true" : "false";
    } else if constexpr (std::floating_point<Part>) {
        out += number_text(static_cast<double>(part));
    } else {
        using std::to_string;  // other types bring their own, found by argument-dependent lookup
        out += to_string(part);
    }
}

}  // namespace detail

/// Concatenates strings, characters, booleans, numbers and whatever has a `to_string`.
template <class... Parts>
[[nodiscard]] std::string text(const Parts&... parts) {
    std::string out;
    (detail::append_text(out, parts), ...);
    return out;
}

/// Throws `Error` with the concatenated parts.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    throw Error(text(parts...));
}

/// Throws `Error` with the concatenated parts unless `condition` holds. The text is made
/// only then, so give the parts as they are.
template <class... Parts>
constexpr void require(bool condition, const Parts&... parts) {
    if (!condition) {
        fail(parts...);
    }
}

}  // namespace flowfar
