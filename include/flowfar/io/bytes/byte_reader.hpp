#pragma once

/// Reads numbers and pieces one after another from bytes that nobody vouches for.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "flowfar/core/error.hpp"

namespace flowfar::io {

static_assert(std::endian::native == std::endian::little, "files are little-endian and read in place");

/// The number with its bytes in reverse order.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T reverse_bytes(T value) {
    T out = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        out = static_cast<T>((std::uint64_t{out} << 8U) | (value & 0xFFU));
        value = static_cast<T>(std::uint64_t{value} >> 8U);
    }
    return out;
}

[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A position in a span. Whatever would read past the end throws `Error`: "<label>: cut short at byte …".
///
///     io::ByteReader reader(file.bytes(), "photo.jpg");
///     const auto header = reader.take(8);
class ByteReader {
   public:
    ByteReader(std::span<const std::byte> bytes, std::string label) : bytes_(bytes), label_(std::move(label)) {}

    [[nodiscard]] std::size_t position() const { return position_; }
    [[nodiscard]] std::size_t left() const { return bytes_.size() - position_; }
    [[nodiscard]] const std::string& label() const { return label_; }

    /// The next `count` bytes.
    [[nodiscard]] std::span<const std::byte> take(std::uint64_t count) {
        if (count > left()) {
            fail(label_, ": cut short at byte ", position_, ": expected ", count, " more bytes, found ", left());
        }
        const auto out = bytes_.subspan(position_, static_cast<std::size_t>(count));
        position_ += static_cast<std::size_t>(count);
        return out;
    }
    void skip(std::uint64_t count) { static_cast<void>(take(count)); }
    [[nodiscard]] std::string_view take_text(std::uint64_t count) { return as_text(take(count)); }

    /// The next number, stored with its lowest byte first.
    template <std::integral T>
    [[nodiscard]] T little() {
        T out;
        std::memcpy(&out, take(sizeof(T)).data(), sizeof(T));
        return out;
    }
    /// The next number, stored with its highest byte first.
    template <std::integral T>
    [[nodiscard]] T big() {
        return static_cast<T>(reverse_bytes(little<std::make_unsigned_t<T>>()));
    }

    /// The bytes before the next line feed, which is passed over.
    [[nodiscard]] std::string_view line() {
        const std::string_view rest = as_text(bytes_.subspan(position_));
        const std::size_t length = rest.find('\n');
        require(length != rest.npos, label_, ": cut short at byte ", position_, ": expected a line");
        position_ += length + 1;
        return rest.substr(0, length);
    }

   private:
    std::span<const std::byte> bytes_;
    std::string label_;
    std::size_t position_ = 0;
};

}  // namespace flowfar::io
