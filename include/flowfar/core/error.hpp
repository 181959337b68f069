#pragma once

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "flowfar/config.hpp"

namespace flowfar {

/// The exception for misuse and bad input. Its text names what was wrong: file, tensor, expected and found.
///
///     try { … } catch (const Error& error) { std::cerr << error.what() << '\n'; }
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

/// One part of a text, whatever its type, so that what puts texts together is compiled once and not for every list of
/// types. Refers to what it was made from.
class TextPart {
   public:
    template <class Part>
    constexpr explicit TextPart(const Part& part) {
        if constexpr (std::is_convertible_v<const Part&, std::string_view>) {
            set(std::string_view(part));
        } else if constexpr (std::same_as<Part, bool>) {
            set(part ? "true" : "false");
        } else if constexpr (std::same_as<Part, char>) {
            kind_ = Kind::character;
            value_.character = part;
        } else if constexpr (std::floating_point<Part>) {
            kind_ = Kind::real;
            value_.real = static_cast<double>(part);
        } else if constexpr (std::signed_integral<Part>) {
            kind_ = Kind::integer;
            value_.integer = part;
        } else if constexpr (std::unsigned_integral<Part>) {
            kind_ = Kind::natural;
            value_.natural = part;
        } else {
            kind_ = Kind::other;
            value_.other = {&part, [](std::string& out, const void* address) {
                                using std::to_string;  // types bring their own, found by argument-dependent lookup
                                out += to_string(*static_cast<const Part*>(address));
                            }};
        }
    }

    void append_to(std::string& out) const {
        switch (kind_) {
            case Kind::characters:
                out.append(value_.characters.begin, value_.characters.size);
                break;
            case Kind::character:
                out += value_.character;
                break;
            case Kind::real:
                out += number_text(value_.real);
                break;
            case Kind::integer:
                out += std::to_string(value_.integer);
                break;
            case Kind::natural:
                out += std::to_string(value_.natural);
                break;
            case Kind::other:
                value_.other.append(out, value_.other.address);
        }
    }

   private:
    enum class Kind : unsigned char { characters, character, real, integer, natural, other };
    union Value {
        struct {
            const char* begin;
            std::size_t size;
        } characters;
        char character;
        double real;
        long long integer;
        unsigned long long natural;
        struct {
            const void* address;
            void (*append)(std::string&, const void*);
        } other;
    };

    constexpr void set(std::string_view characters) {
        kind_ = Kind::characters;
        value_.characters = {characters.data(), characters.size()};
    }

    Kind kind_ = Kind::characters;
    Value value_{};
};

inline std::string concatenate(std::initializer_list<TextPart> parts) {
    std::string out;
    for (const TextPart& part : parts) {
        part.append_to(out);
    }
    return out;
}

[[noreturn]] inline void throw_error(std::initializer_list<TextPart> parts) {
    throw Error(concatenate(parts));
}

}  // namespace detail

/// Concatenates strings, characters, booleans, numbers and whatever has a `to_string`.
template <class... Parts>
[[nodiscard]] std::string text(const Parts&... parts) {
    return detail::concatenate({detail::TextPart(parts)...});
}

/// Throws `Error` with the concatenated parts.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    detail::throw_error({detail::TextPart(parts)...});
}

/// Throws `Error` with the concatenated parts unless `condition` holds. The text is made
/// only then, so give the parts as they are.
template <class... Parts>
constexpr void require(bool condition, const Parts&... parts) {
    if (!condition) {
        detail::throw_error({detail::TextPart(parts)...});
    }
}

}  // namespace flowfar
