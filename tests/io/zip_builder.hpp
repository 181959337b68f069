#pragma once

/// Makes zip archives for tests, valid ones and deliberately odd ones.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/bytes/file.hpp"

namespace flowfar::testing {

/// One entry; what is set explicitly is written whether true or not.
struct ZipPart {
    std::string name;
    std::string content;
    std::uint16_t method = 0;
    std::uint16_t flags = 0;
    std::optional<std::uint32_t> size;  ///< uncompressed
    std::optional<std::uint32_t> compressed_size;
    std::optional<std::uint32_t> crc;
    std::optional<std::uint32_t> offset;  ///< of the entry's own header, in the table
    std::optional<std::string> own_name;  ///< in the entry's own header
};

inline void put_number(std::string& out, std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
        out += static_cast<char>(static_cast<unsigned char>(i < 8 ? value >> (8 * i) : 0));
    }
}

class ZipBuilder {
   public:
    void add(const ZipPart& part) {
        const auto offset = static_cast<std::uint32_t>(archive_.size());
        const std::string name = part.own_name.value_or(part.name);
        put_number(archive_, 0x04034b50, 4);
        put_common(archive_, part);
        put_number(archive_, name.size(), 2);
        put_number(archive_, 0, 2);
        archive_ += name + part.content;
        put_number(table_, 0x02014b50, 4);
        put_number(table_, 20, 2);
        put_common(table_, part);
        put_number(table_, part.name.size(), 2);
        put_number(table_, 0, 12);  // extra field, comment, disk, attributes
        put_number(table_, part.offset.value_or(offset), 4);
        table_ += part.name;
        ++count_;
    }
    void add(std::string name, std::string content) {
        ZipPart part;
        part.name = std::move(name);
        part.content = std::move(content);
        add(part);
    }
    /// The archive; `count` entries are claimed, by default the truth.
    [[nodiscard]] std::string finish(std::optional<std::uint16_t> count = {}, const std::string& comment = "") const {
        std::string out = archive_ + table_;
        put_number(out, 0x06054b50, 4);
        put_number(out, 0, 4);
        put_number(out, count.value_or(count_), 2);
        put_number(out, count.value_or(count_), 2);
        put_number(out, table_.size(), 4);
        put_number(out, archive_.size(), 4);
        put_number(out, comment.size(), 2);
        return out + comment;
    }

   private:
    static void put_common(std::string& out, const ZipPart& part) {
        const auto size = static_cast<std::uint32_t>(part.content.size());
        put_number(out, 20, 2);
        put_number(out, part.flags, 2);
        put_number(out, part.method, 2);
        put_number(out, 0, 4);  // time
        put_number(out, part.crc.value_or(io::crc32(std::as_bytes(std::span(part.content)))), 4);
        put_number(out, part.compressed_size.value_or(size), 4);
        put_number(out, part.size.value_or(size), 4);
    }

    std::string archive_;
    std::string table_;
    std::uint16_t count_ = 0;
};

}  // namespace flowfar::testing
