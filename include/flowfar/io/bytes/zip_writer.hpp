#pragma once

/// Writes zip archives of stored entries, in any size, whose bytes begin at multiples of 64 as in PyTorch's files.

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"

namespace flowfar::io {

static_assert(std::endian::native == std::endian::little, "zip headers are little-endian");

/// Usage: `add` every entry, then `finish`. The target file appears (or changes) only in `finish`; a writer destroyed
/// earlier leaves no trace.
///
///     io::ZipWriter writer("arrays.npz");
///     writer.add("x.npy", bytes);
///     writer.finish();
class ZipWriter {
   public:
    explicit ZipWriter(const Path& path) : file_(path) {}

    [[nodiscard]] const Path& path() const { return file_.path(); }

    /// Appends one entry. Throws `Error` if the name was used before or is longer than 4096 bytes.
    void add(std::string name, std::span<const std::byte> bytes) {
        const std::string where = path().string();
        require(!name.empty() && name.size() <= 4096, where, ": a zip entry's name has ", name.size(),
                " bytes, expected 1 to 4096");
        require(names_.insert(name).second, where, ": entry \"", name, "\" is added twice");
        const Entry entry{std::move(name), crc32(bytes), bytes.size(), file_.position()};
        const bool large = entry.size >= large_size;
        std::string header;
        put<std::uint32_t>(header, 0x04034b50);
        put_common(header, entry, large);
        const std::string sizes = large ? large_sizes({entry.size, entry.size}) : "";
        // The padding is an extra field of its own, marked as PyTorch marks it.
        const std::uint64_t begin = entry.offset + header.size() + 4 + entry.name.size() + sizes.size() + 4;
        const std::uint64_t padding = (alignment - begin % alignment) % alignment;
        put<std::uint16_t>(header, entry.name.size());
        put<std::uint16_t>(header, sizes.size() + 4 + padding);
        header += entry.name + sizes;
        put<std::uint16_t>(header, 0x4246);
        put<std::uint16_t>(header, padding);
        header.append(static_cast<std::size_t>(padding), 'Z');
        file_.write(header);
        file_.write(bytes);
        entries_.push_back(entry);
    }
    void add(std::string name, std::string_view characters) {
        add(std::move(name), std::as_bytes(std::span(characters)));
    }

    /// Writes the table of entries and puts the file in place.
    void finish() {
        const std::uint64_t begin = file_.position();
        for (const Entry& entry : entries_) {
            file_.write(table_row(entry));
        }
        const std::uint64_t end = file_.position();
        const std::uint64_t size = end - begin;
        const std::uint64_t count = entries_.size();
        std::string out;
        if (count >= 0xFFFF || size >= large_size || begin >= large_size) {
            put<std::uint32_t>(out, 0x06064b50);
            put<std::uint64_t>(out, 44);
            put<std::uint16_t>(out, version);
            put<std::uint16_t>(out, version);
            put<std::uint64_t>(out, 0);  // disks
            put<std::uint64_t>(out, count);
            put<std::uint64_t>(out, count);
            put<std::uint64_t>(out, size);
            put<std::uint64_t>(out, begin);
            put<std::uint32_t>(out, 0x07064b50);
            put<std::uint32_t>(out, 0);
            put<std::uint64_t>(out, end);
            put<std::uint32_t>(out, 1);
        }
        put<std::uint32_t>(out, 0x06054b50);
        put<std::uint32_t>(out, 0);  // disks
        put<std::uint16_t>(out, count);
        put<std::uint16_t>(out, count);
        put<std::uint32_t>(out, size);
        put<std::uint32_t>(out, begin);
        put<std::uint16_t>(out, 0);  // comment
        file_.write(out);
        file_.commit();
    }

   private:
    static constexpr std::uint64_t alignment = 64;
    static constexpr std::uint64_t large_size = 0xFFFFFFFF;  // and above: the value goes to a 64-bit field
    static constexpr std::uint16_t version = 45;             // the first with 64-bit sizes

    struct Entry {
        std::string name;
        std::uint32_t crc;
        std::uint64_t size;
        std::uint64_t offset;
    };

    /// Appends the value in the width of T; one that is too large becomes the format's "look elsewhere", all ones.
    template <std::unsigned_integral T>
    static void put(std::string& out, std::uint64_t value) {
        const auto narrow = static_cast<T>(std::min<std::uint64_t>(value, std::numeric_limits<T>::max()));
        out.append(reinterpret_cast<const char*>(&narrow), sizeof narrow);
    }

    /// What an entry's own header and its row in the table share, from the version needed to the sizes.
    static void put_common(std::string& out, const Entry& entry, bool large) {
        put<std::uint16_t>(out, large ? version : 20);
        put<std::uint16_t>(out, 1U << 11U);  // names are UTF-8
        put<std::uint16_t>(out, 0);          // stored
        put<std::uint16_t>(out, 0);          // the time is left out, so that equal contents make equal files
        put<std::uint16_t>(out, 0x21);       // 1 January 1980
        put<std::uint32_t>(out, entry.crc);
        put<std::uint32_t>(out, large ? large_size : entry.size);
        put<std::uint32_t>(out, large ? large_size : entry.size);
    }

    static std::string large_sizes(const std::vector<std::uint64_t>& values) {
        std::string out;
        put<std::uint16_t>(out, 1);
        put<std::uint16_t>(out, values.size() * 8);
        for (const std::uint64_t value : values) {
            put<std::uint64_t>(out, value);
        }
        return out;
    }

    static std::string table_row(const Entry& entry) {
        const bool large = entry.size >= large_size;
        std::vector<std::uint64_t> values;
        if (large) {
            values = {entry.size, entry.size};
        }
        if (entry.offset >= large_size) {
            values.push_back(entry.offset);
        }
        const std::string sizes = values.empty() ? "" : large_sizes(values);
        std::string out;
        put<std::uint32_t>(out, 0x02014b50);
        put<std::uint16_t>(out, version);
        put_common(out, entry, large);
        put<std::uint16_t>(out, entry.name.size());
        put<std::uint16_t>(out, sizes.size());
        put<std::uint16_t>(out, 0);  // comment
        put<std::uint16_t>(out, 0);  // disk
        put<std::uint16_t>(out, 0);  // attributes
        put<std::uint32_t>(out, 0);
        put<std::uint32_t>(out, entry.offset);
        return out + entry.name + sizes;
    }

    OutputFile file_;
    std::vector<Entry> entries_;
    std::set<std::string> names_;
};

}  // namespace flowfar::io
