#pragma once

/// Reads zip archives in place (also larger than 4 GiB): a table of entries and views of their bytes.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/byte_reader.hpp"
#include "flowfar/io/bytes/file.hpp"

namespace flowfar::io {

struct ZipEntry {
    std::string name;
    std::uint16_t method = 0;           ///< 0 stored, 8 deflated
    std::uint32_t crc = 0;              ///< of the uncompressed bytes
    std::uint64_t compressed_size = 0;  ///< bytes in the archive
    std::uint64_t size = 0;             ///< bytes uncompressed
    std::uint64_t header = 0;           ///< where the entry begins in the archive
    std::uint64_t begin = 0;            ///< where its bytes begin
};

/// The table of a zip archive that lies in memory (usually mapped; the bytes must outlive this object). Opening checks
/// the whole structure: one disk, no encryption, unique names that stay inside a folder, and entries that neither
/// overlap nor reach into the table. At most a million entries, names of at most 4096 bytes.
///
///     const io::MappedFile file("arrays.npz");
///     for (const io::ZipEntry& entry : io::ZipArchive(file.bytes(), "arrays.npz").entries()) { … }
class ZipArchive {
   public:
    /// Throws `Error` that begins with `label`, the file's name, if the archive is damaged or not an archive at all.
    ZipArchive(std::span<const std::byte> bytes, std::string label) : bytes_(bytes), label_(std::move(label)) {
        parse();
    }

    /// Whether the bytes begin as a zip archive does.
    [[nodiscard]] static bool recognize(std::span<const std::byte> bytes) {
        return as_text(bytes).starts_with("PK\x03\x04") || as_text(bytes).starts_with("PK\x05\x06");
    }

    /// All entries in the order of their bytes.
    [[nodiscard]] const std::vector<ZipEntry>& entries() const { return entries_; }
    [[nodiscard]] const std::string& label() const { return label_; }
    /// The entry of that name, or null.
    [[nodiscard]] const ZipEntry* find(std::string_view name) const {
        const auto found = index_.find(name);
        return found == index_.end() ? nullptr : &entries_[found->second];
    }

    /// The bytes of an entry as they lie in the archive.
    [[nodiscard]] std::span<const std::byte> compressed(const ZipEntry& entry) const {
        return bytes_.subspan(entry.begin, entry.compressed_size);
    }
    /// The bytes of a stored entry. Throws `Error` if it is compressed.
    [[nodiscard]] std::span<const std::byte> stored(const ZipEntry& entry) const {
        require(entry.method == 0, describe(entry), ": compressed (method ", entry.method,
                "), expected a stored entry");
        return compressed(entry);
    }
    /// Reads a stored entry and throws `Error` if its checksum differs from the recorded one.
    void verify(const ZipEntry& entry) const {
        const std::uint32_t found = crc32(stored(entry));
        require(found == entry.crc, describe(entry), ": damaged: expected CRC-32 ", entry.crc, ", found ", found);
    }
    /// File and entry for error messages.
    [[nodiscard]] std::string describe(const ZipEntry& entry) const {
        return text(label_, ": entry \"", entry.name, '"');
    }

   private:
    static constexpr std::uint32_t central_signature = 0x02014b50;
    static constexpr std::uint32_t local_signature = 0x04034b50;
    static constexpr std::uint32_t end_signature = 0x06054b50;
    static constexpr std::uint32_t end64_signature = 0x06064b50;
    static constexpr std::uint32_t locator_signature = 0x07064b50;
    static constexpr std::uint64_t end_size = 22;
    static constexpr std::uint64_t end64_size = 56;
    static constexpr std::uint64_t locator_size = 20;
    static constexpr std::uint64_t entry_limit = 1'000'000;
    static constexpr std::uint64_t name_limit = 4096;

    /// Where the table of entries lies.
    struct Table {
        std::uint64_t count;
        std::uint64_t begin;
        std::uint64_t size;
        std::uint64_t end;  ///< where the next structure begins
    };

    [[nodiscard]] ByteReader reader(std::uint64_t begin, std::uint64_t size) const {
        if (begin > bytes_.size() || size > bytes_.size() - begin) {
            fail(label_, ": damaged zip archive: ", size, " bytes at ", begin, " are not inside the file's ",
                 bytes_.size());
        }
        return {bytes_.subspan(begin, size), label_};
    }

    /// The end record is the last thing in the file but for a comment, whose length it states.
    [[nodiscard]] std::uint64_t find_end() const {
        const std::uint64_t size = bytes_.size();
        for (std::uint64_t comment = 0; comment <= 0xFFFF && comment + end_size <= size; ++comment) {
            const std::uint64_t at = size - end_size - comment;
            ByteReader r = reader(at, end_size);
            if (r.little<std::uint32_t>() == end_signature) {
                r.skip(16);
                if (r.little<std::uint16_t>() == comment) {
                    return at;
                }
            }
        }
        fail(label_, ": not a zip archive, or cut short: its end record is missing");
    }

    [[nodiscard]] Table find_table() const {
        const std::uint64_t end = find_end();
        ByteReader r = reader(end + 4, end_size - 4);
        const auto disk = r.little<std::uint16_t>();
        const auto table_disk = r.little<std::uint16_t>();
        const auto here = r.little<std::uint16_t>();
        const auto total = r.little<std::uint16_t>();
        const auto size = r.little<std::uint32_t>();
        const auto begin = r.little<std::uint32_t>();
        if (end >= locator_size && reader(end - locator_size, 4).little<std::uint32_t>() == locator_signature) {
            return find_large_table(end - locator_size);
        }
        require(disk == 0 && table_disk == 0 && here == total, label_, ": zip archives on several disks are refused");
        return {total, begin, size, end};
    }

    [[nodiscard]] Table find_large_table(std::uint64_t locator) const {
        ByteReader l = reader(locator + 4, locator_size - 4);
        const auto disk = l.little<std::uint32_t>();
        const auto end = l.little<std::uint64_t>();
        ByteReader r = reader(end, end64_size);
        require(r.little<std::uint32_t>() == end64_signature, label_,
                ": damaged zip archive: its 64-bit end record is missing");
        const auto rest = r.little<std::uint64_t>();
        r.skip(4);  // versions
        const auto this_disk = r.little<std::uint32_t>();
        const auto table_disk = r.little<std::uint32_t>();
        const auto here = r.little<std::uint64_t>();
        const auto total = r.little<std::uint64_t>();
        const auto size = r.little<std::uint64_t>();
        const auto begin = r.little<std::uint64_t>();
        require(disk == 0 && this_disk == 0 && table_disk == 0 && here == total, label_,
                ": zip archives on several disks are refused");
        require(end < locator && rest == locator - end - 12, label_,
                ": damaged zip archive: the 64-bit end record does not end where its locator begins");
        return {total, begin, size, end};
    }

    void parse() {
        const Table table = find_table();
        require(table.count <= entry_limit, label_, ": ", table.count, " zip entries, expected at most ", entry_limit);
        require(table.begin <= table.end && table.size == table.end - table.begin, label_,
                ": damaged zip archive: a table of ", table.size, " bytes at ", table.begin, " does not end at ",
                table.end);
        ByteReader r = reader(table.begin, table.size);
        require(table.count <= table.size / 46, label_, ": damaged zip archive: ", table.count,
                " entries do not fit into a table of ", table.size, " bytes");
        entries_.reserve(table.count);
        for (std::uint64_t i = 0; i < table.count; ++i) {
            entries_.push_back(read_entry(r));
        }
        require(r.left() == 0, label_, ": damaged zip archive: ", r.left(), " bytes after the last entry of the table");
        std::ranges::sort(entries_, {}, [](const ZipEntry& e) { return std::pair(e.header, e.begin); });
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            locate(entries_[i], i + 1 < entries_.size() ? entries_[i + 1].header : table.begin);
            require(index_.emplace(entries_[i].name, i).second, describe(entries_[i]), ": the name occurs twice");
        }
    }

    [[nodiscard]] ZipEntry read_entry(ByteReader& r) const {
        require(r.little<std::uint32_t>() == central_signature, label_, ": damaged zip archive: not an entry at byte ",
                r.position() - 4, " of the table");
        r.skip(4);  // versions
        const auto flags = r.little<std::uint16_t>();
        ZipEntry entry;
        entry.method = r.little<std::uint16_t>();
        r.skip(4);  // time
        entry.crc = r.little<std::uint32_t>();
        entry.compressed_size = r.little<std::uint32_t>();
        entry.size = r.little<std::uint32_t>();
        const auto name_size = r.little<std::uint16_t>();
        const auto extra_size = r.little<std::uint16_t>();
        const auto comment_size = r.little<std::uint16_t>();
        const auto disk = r.little<std::uint16_t>();
        r.skip(6);  // attributes
        entry.header = r.little<std::uint32_t>();
        require(name_size <= name_limit, label_, ": a zip entry's name has ", name_size, " bytes, expected at most ",
                name_limit);
        entry.name = std::string(r.take_text(name_size));
        check_name(entry);
        read_large_sizes(entry, r.take(extra_size));
        r.skip(comment_size);
        require((flags & 1U) == 0, describe(entry), ": encrypted");
        require(disk == 0 || disk == 0xFFFF, label_, ": zip archives on several disks are refused");
        require(entry.method != 0 || entry.size == entry.compressed_size, describe(entry), ": stored, but ",
                entry.compressed_size, " bytes in the archive are to become ", entry.size);
        return entry;
    }

    /// Nothing is unpacked here, but callers that list names may use them as paths.
    void check_name(const ZipEntry& entry) const {
        const std::string_view name = entry.name;
        bool climbs =
            name.empty() || name.front() == '/' || name.find('\\') != name.npos || name.find('\0') != name.npos;
        for (std::size_t begin = 0; begin <= name.size();) {
            const std::size_t end = std::min(name.find('/', begin), name.size());
            climbs = climbs || name.substr(begin, end - begin) == "..";
            begin = end + 1;
        }
        require(!climbs, describe(entry), ": refused, because the name leads out of its folder");
    }

    /// The extra field 1 holds the values that do not fit into 32 bits, in this order.
    void read_large_sizes(ZipEntry& entry, std::span<const std::byte> extra) const {
        ByteReader r(extra, describe(entry));
        const std::array<std::uint64_t*, 3> values{&entry.size, &entry.compressed_size, &entry.header};
        while (r.left() >= 4) {
            const auto id = r.little<std::uint16_t>();
            ByteReader field(r.take(r.little<std::uint16_t>()), describe(entry));
            if (id == 1) {
                for (std::uint64_t* const value : values) {
                    if (*value == 0xFFFFFFFFU) {
                        *value = field.little<std::uint64_t>();
                    }
                }
                return;
            }
        }
    }

    /// Finds the entry's bytes behind its own header; they must end before `limit`.
    void locate(ZipEntry& entry, std::uint64_t limit) const {
        require(entry.header < limit && limit - entry.header >= 30, describe(entry), ": begins at ", entry.header,
                " and overlaps what begins at ", limit);
        ByteReader r = reader(entry.header, limit - entry.header);
        require(r.little<std::uint32_t>() == local_signature, describe(entry), ": no entry begins at byte ",
                entry.header);
        r.skip(22);
        const auto name_size = r.little<std::uint16_t>();
        const auto extra_size = r.little<std::uint16_t>();
        require(r.take_text(name_size) == entry.name, describe(entry), ": its own header names it differently");
        r.skip(extra_size);
        entry.begin = entry.header + r.position();
        require(entry.compressed_size <= limit - entry.begin, describe(entry), ": ", entry.compressed_size,
                " bytes at ", entry.begin, " overlap what begins at ", limit);
    }

    std::span<const std::byte> bytes_;
    std::string label_;
    std::vector<ZipEntry> entries_;
    std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace flowfar::io
