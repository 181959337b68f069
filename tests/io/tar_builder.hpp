#pragma once

/// Makes tar archives for tests, valid ones and deliberately odd ones.

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace flowfar::testing {

namespace detail {

inline void put_checksum(std::string& header) {
    header.replace(148, 8, 8, ' ');
    unsigned sum = 0;
    for (const char byte : header) {
        sum += static_cast<unsigned char>(byte);
    }
    char digits[8];
    std::snprintf(digits, sizeof digits, "%06o", sum & 0777777U);
    header.replace(148, 7, digits, 7);
}

}  // namespace detail

class TarBuilder {
   public:
    /// `size_field`: the 12 characters of the size, if not the usual octal number.
    void add(std::string_view name, std::string_view content, char type = '0', std::string_view size_field = {}) {
        add_member(name, content, type, size_field, {});
    }
    void add_with_prefix(std::string_view prefix, std::string_view name, std::string_view content) {
        add_member(name, content, '0', {}, prefix);
    }
    /// A hard ('1') or symbolic ('2') link.
    void link(std::string_view name, std::string_view target, char type) { add_member(name, {}, type, {}, {}, target); }
    /// The archive with its two closing zero blocks.
    [[nodiscard]] std::string finish() const { return archive_ + std::string(1024, '\0'); }

   private:
    void add_member(std::string_view name, std::string_view content, char type, std::string_view size_field,
                    std::string_view prefix, std::string_view target = {}) {
        std::string header(512, '\0');
        header.replace(0, std::min<std::size_t>(name.size(), 100), name.substr(0, 100));
        header.replace(100, 7, "0000644");
        char digits[12];
        std::snprintf(digits, sizeof digits, "%011o", static_cast<unsigned>(content.size()));
        const std::string_view size = size_field.empty() ? std::string_view(digits, 11) : size_field;
        header.replace(124, size.size(), size);
        header[156] = type;
        header.replace(157, std::min<std::size_t>(target.size(), 100), target.substr(0, 100));
        header.replace(257, 5, "ustar");
        header.replace(263, 2, "00");
        header.replace(345, prefix.size(), prefix);
        detail::put_checksum(header);
        archive_ += header;
        archive_ += content;
        archive_.resize((archive_.size() + 511) / 512 * 512, '\0');
    }

    std::string archive_;
};

/// One pax record; its own length counts its digits too.
inline std::string pax_record(std::string_view key, std::string_view value) {
    const std::size_t rest = key.size() + value.size() + 3;
    std::size_t length = rest + 1;
    while (std::to_string(length).size() + rest != length) {
        ++length;
    }
    return std::to_string(length) + ' ' + std::string(key) + '=' + std::string(value) + '\n';
}

/// Recomputes the checksum of every block that still looks like a header.
inline std::string with_fresh_checksums(std::string archive) {
    for (std::size_t at = 0; at + 512 <= archive.size(); at += 512) {
        if (archive.compare(at + 257, 5, "ustar") == 0) {
            std::string header = archive.substr(at, 512);
            detail::put_checksum(header);
            archive.replace(at, 512, header);
        }
    }
    return archive;
}

}  // namespace flowfar::testing
