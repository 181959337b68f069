#pragma once

/// Reads tar archives in place: an index of the regular files and views of their bytes, nothing is unpacked.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/bytes/file_kind.hpp"

namespace flowfar::io {

struct TarEntry {
    std::string name;          ///< as stored, without components "."
    std::uint64_t offset = 0;  ///< of the first byte inside the archive
    std::uint64_t size = 0;    ///< bytes
};

/// A mapped tar archive in the ustar, GNU or pax format (long names, sizes of any magnitude). Opening walks over all
/// headers, verifies their checksums and that every file lies inside the archive, and needs the closing zero block, so
/// that a cut archive is noticed. Entries are what `tar -x` leaves: a member replaces earlier ones of its name, a hard
/// link has the bytes that its target had at that point, a symbolic link the bytes of the file that it leads to in the
/// end. Folders, devices and volume labels are passed over; what no reader knows is a file. Memory stays in proportion
/// to the archive's headers and long names; nothing is unpacked, so names that lead out of the folder do no harm here.
///
///     const io::TarFile shard("photos.tar");
///     for (const io::TarEntry& entry : shard.entries()) { use(entry.name, shard.bytes(entry)); }
class TarFile {
   public:
    explicit TarFile(const Path& path) : TarFile(MappedFile(path)) {}
    explicit TarFile(MappedFile file) : file_(std::move(file)) { index(); }

    /// Files in archive order, links among them.
    [[nodiscard]] const std::vector<TarEntry>& entries() const { return entries_; }
    /// Names of links that lead to no file of the archive.
    [[nodiscard]] const std::vector<std::string>& dangling() const { return dangling_; }
    [[nodiscard]] const Path& path() const { return file_.path(); }

    /// The bytes of an entry of this archive; valid while the archive is open.
    [[nodiscard]] std::span<const std::byte> bytes(const TarEntry& entry) const {
        require(entry.offset <= file_.size() && entry.size <= file_.size() - entry.offset, path().string(),
                ": entry \"", entry.name, "\" is not part of this archive");
        return file_.bytes().subspan(entry.offset, entry.size);
    }

   private:
    static constexpr std::uint64_t block = 512;

    /// A field of the header: its offset and width in bytes.
    struct Field {
        std::size_t offset;
        std::size_t width;
    };
    static constexpr Field name_field{0, 100};
    static constexpr Field size_field{124, 12};
    static constexpr Field checksum_field{148, 8};
    static constexpr std::size_t type_offset = 156;
    static constexpr Field link_field{157, 100};
    static constexpr Field magic_field{257, 6};
    static constexpr Field prefix_field{345, 155};

    /// What extension records say about the next entry.
    struct Overrides {
        std::optional<std::string> name;
        std::optional<std::string> link;
        std::optional<std::uint64_t> size;
    };
    /// A file, or a symbolic link if `target` is set.
    struct Member {
        TarEntry entry;
        std::optional<std::string> target;
    };

    void index() {
        if (file_.size() < block) {
            refuse_other_kinds(0);
        }
        std::uint64_t position = 0;
        Overrides next;
        int zero_blocks = 0;
        while (zero_blocks < 2 && position < file_.size()) {
            if (file_.size() - position < block) {
                fail_at(position, "the archive ends inside a block");
            }
            const auto header = file_.bytes().subspan(position, block);
            if (std::ranges::all_of(header, [](std::byte b) { return b == std::byte{0}; })) {
                ++zero_blocks;
                position += block;
                continue;
            }
            zero_blocks = 0;
            verify_checksum(header, position);
            position = read_member(header, position, next);
        }
        require(zero_blocks > 0, path().string(), ": tar: no closing zero block: the archive is cut short or empty");
        require(!next.name && !next.size && !next.link, path().string(),
                ": tar: a long-name or pax record describes no file");
        settle();
    }

    /// Members -> entries: the last of each name, and symbolic links with the bytes of what they lead to.
    void settle() {
        for (std::size_t i = 0; i < members_.size(); ++i) {
            Member& member = members_[i];
            const auto last = last_.find(member.entry.name);
            if (last == last_.end() || last->second != i) {
                continue;
            }
            if (!member.target) {
                entries_.push_back(member.entry);
            } else if (const Member* file = follow(member.entry.name); file != nullptr) {
                entries_.push_back({member.entry.name, file->entry.offset, file->entry.size});
            } else if (!is_folder(member.entry.name)) {
                dangling_.push_back(member.entry.name);
            }
        }
        members_ = {};
        last_ = {};
    }

    /// The file that a path leads to, or null.
    [[nodiscard]] const Member* follow(const std::string& path) const {
        const auto found = last_.find(resolved(path));
        return found == last_.end() || members_[found->second].target ? nullptr : &members_[found->second];
    }
    /// Whether a path leads to a folder: something lies below it.
    [[nodiscard]] bool is_folder(const std::string& path) const {
        const std::string below = resolved(path) + "/";
        const auto first = last_.lower_bound(below);
        return below == "/" || (first != last_.end() && first->first.starts_with(below));
    }
    /// The path without symbolic links and ".."; as far as it gets after 40 links, as in an operating system.
    [[nodiscard]] std::string resolved(std::string path) const {
        std::string done;
        int links = 0;
        while (!path.empty()) {
            const std::size_t end = std::min(path.find('/'), path.size());
            const std::string part = path.substr(0, end);
            path.erase(0, end + 1);
            if (part == "..") {
                done.erase(done.rfind('/') == done.npos ? 0 : done.rfind('/'));
                continue;
            }
            if (part.empty() || part == ".") {
                continue;
            }
            const std::string here = done.empty() ? part : text(done, '/', part);
            const auto found = last_.find(here);
            if (found != last_.end() && members_[found->second].target && ++links <= 40) {
                path = text(*members_[found->second].target, '/', path);  // relative to where the link lies
                continue;
            }
            done = here;
        }
        return done;
    }

    void put(Member member) {
        last_[member.entry.name] = members_.size();
        members_.push_back(std::move(member));
    }

    /// Handles the member whose header is at `position`; returns the position of the next header.
    std::uint64_t read_member(std::span<const std::byte> header, std::uint64_t position, Overrides& next) {
        const char type = static_cast<char>(header[type_offset]);
        const std::uint64_t stored_size = number(header, size_field, position);
        const bool extension = type == 'x' || type == 'X' || type == 'g' || type == 'L' || type == 'K';
        const bool has_no_data = type >= '1' && type <= '6';
        const std::uint64_t size = has_no_data ? 0 : extension ? stored_size : next.size.value_or(stored_size);
        const std::uint64_t offset = position + block;
        if (size > file_.size() - offset) {
            fail_at(position, "entry \"", member_name(header, next), "\" of ", size,
                    " bytes reaches beyond the archive");
        }
        const auto data = file_.bytes().subspan(offset, size);
        if (type == 'L') {
            next.name = terminated(characters(data));
        } else if (type == 'K') {
            next.link = terminated(characters(data));
        } else if (type == 'x' || type == 'X') {
            read_pax(characters(data), position, next);
        } else if (!extension) {
            const Overrides mine = std::exchange(next, {});
            if (type == 'S') {
                fail_at(position, "sparse files are not supported");
            }
            if (type == 'M') {
                fail_at(position, "archives of several volumes are not supported");
            }
            add_member(type, member_name(header, mine), {"", offset, size}, link_name(header, mine));
        }
        const std::uint64_t padded = (size + block - 1) / block * block;
        // A file's last, partly filled block must be there as well.
        if (padded > file_.size() - offset) {
            fail_at(position, "the archive ends inside the padding of an entry");
        }
        return offset + padded;
    }

    /// Takes a file or a link, and forgets what it replaces.
    void add_member(char type, const std::string& name, TarEntry entry, const std::string& link) {
        entry.name = plain(name);
        if (type == 'V' || entry.name.empty()) {
            return;
        }
        const bool other = (type >= '3' && type <= '6') || type == 'D' || type == 'N';
        if (other || name.back() == '/') {
            last_.erase(entry.name);
        } else if (type == '2' && !link.empty()) {
            put({std::move(entry), link});
        } else if (type == '1' || type == '2') {
            const auto target = type == '1' ? last_.find(plain(link)) : last_.end();
            if (target == last_.end()) {
                last_.erase(entry.name);
                dangling_.push_back(entry.name);
                return;
            }
            Member same = members_[target->second];
            same.entry.name = entry.name;
            put(std::move(same));
        } else {
            put({std::move(entry), std::nullopt});
        }
    }

    /// The path without components "." and doubled slashes.
    [[nodiscard]] static std::string plain(std::string_view path) {
        std::string out = path.starts_with('/') ? "/" : "";
        while (!path.empty()) {
            const std::string_view part = path.substr(0, path.find('/'));
            path.remove_prefix(std::min(part.size() + 1, path.size()));
            if (!part.empty() && part != ".") {
                out += (out.empty() || out == "/" ? "" : "/");
                out += part;
            }
        }
        return out;
    }

    void verify_checksum(std::span<const std::byte> header, std::uint64_t position) const {
        // Some old programs summed signed characters; both sums count the checksum field itself as blanks.
        std::int64_t unsigned_sum = 0;
        std::int64_t signed_sum = 0;
        for (std::size_t i = 0; i < block; ++i) {
            const bool own = i >= checksum_field.offset && i < checksum_field.offset + checksum_field.width;
            const auto value = own ? std::uint8_t{' '} : std::to_integer<std::uint8_t>(header[i]);
            unsigned_sum += value;
            signed_sum += static_cast<std::int8_t>(value);
        }
        const auto stored = static_cast<std::int64_t>(number(header, checksum_field, position));
        if (stored != unsigned_sum && stored != signed_sum) {
            refuse_other_kinds(position);
            fail_at(position, "not a tar header, or damaged: expected checksum ", unsigned_sum, ", found ", stored);
        }
    }

    /// Throws for a file that is something else altogether.
    void refuse_other_kinds(std::uint64_t position) const {
        const std::string kind = position == 0 ? file_kind(file_.bytes()) : std::string();
        require(kind.empty() || kind == "a tar archive", path().string(),
                ": expected a folder or a tar archive, found ", kind);
    }

    /// Octal digits between blanks, or big-endian base 256 if the first bit is set.
    [[nodiscard]] std::uint64_t number(std::span<const std::byte> header, Field field, std::uint64_t position) const {
        const auto bytes = header.subspan(field.offset, field.width);
        const auto first = std::to_integer<unsigned>(bytes[0]);
        std::uint64_t value = 0;
        if ((first & 0x80U) != 0) {
            value = first & 0x7FU;
            for (const std::byte byte : bytes.subspan(1)) {
                if (value >> 55 != 0) {  // also true for negative numbers, which begin with 0xFF
                    refuse_other_kinds(position);
                    fail_at(position, "number out of range in the header");
                }
                value = (value << 8) | std::to_integer<unsigned>(byte);
            }
            return value;
        }
        std::string_view digits = terminated(characters(bytes));
        digits.remove_prefix(std::min(digits.find_first_not_of(' '), digits.size()));
        digits = digits.substr(0, digits.find(' '));
        for (const char digit : digits) {  // at most 12 digits: no overflow
            if (digit < '0' || digit > '7') {
                refuse_other_kinds(position);
                fail_at(position, "not a tar header, or damaged: expected an octal number");
            }
            value = value * 8 + static_cast<unsigned>(digit - '0');
        }
        return value;
    }

    /// Records "length key=value\n", where length counts the whole record in decimal.
    void read_pax(std::string_view records, std::uint64_t position, Overrides& next) const {
        while (!records.empty() && records.front() != '\0') {
            const std::size_t blank = records.find(' ');
            std::uint64_t length = 0;
            if (!parse_decimal(records.substr(0, blank), length) || length < blank + 3 || length > records.size() ||
                records[length - 1] != '\n') {
                fail_at(position, "malformed pax record");
            }
            const std::string_view pair = records.substr(blank + 1, length - blank - 2);
            const std::size_t equals = pair.find('=');
            if (equals == std::string_view::npos) {
                fail_at(position, "malformed pax record");
            }
            const std::string_view value = pair.substr(equals + 1);
            if (pair.substr(0, equals) == "path") {
                next.name = std::string(value);
            } else if (pair.substr(0, equals) == "linkpath") {
                next.link = std::string(value);
            } else if (pair.substr(0, equals) == "size") {
                std::uint64_t size = 0;
                if (!parse_decimal(value, size)) {
                    fail_at(position, "malformed size in a pax record");
                }
                next.size = size;
            } else if (pair.starts_with("GNU.sparse.")) {
                fail_at(position, "sparse files are not supported");
            }
            records.remove_prefix(length);
        }
    }

    /// False unless `digits` is a decimal number below 10^18.
    static bool parse_decimal(std::string_view digits, std::uint64_t& value) {
        if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != std::string_view::npos) {
            return false;
        }
        value = 0;
        for (const char digit : digits) {
            value = value * 10 + static_cast<unsigned>(digit - '0');
        }
        return true;
    }

    static std::string member_name(std::span<const std::byte> header, const Overrides& overrides) {
        std::string name;
        if (overrides.name) {
            name = *overrides.name;
        } else {
            const auto field = [&](Field f) { return terminated(characters(header.subspan(f.offset, f.width))); };
            // Only ustar proper has the prefix field; GNU's magic ends in a blank and uses the place differently.
            const auto magic = characters(header.subspan(magic_field.offset, magic_field.width));
            if (magic == std::string_view("ustar\0", 6) && !field(prefix_field).empty()) {
                name = text(field(prefix_field), '/');
            }
            name += field(name_field);
        }
        return name;
    }
    static std::string link_name(std::span<const std::byte> header, const Overrides& overrides) {
        return overrides.link
                   ? *overrides.link
                   : std::string(terminated(characters(header.subspan(link_field.offset, link_field.width))));
    }

    static std::string_view characters(std::span<const std::byte> bytes) {
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    static std::string_view terminated(std::string_view field) { return field.substr(0, field.find('\0')); }

    template <class... Parts>
    [[noreturn]] void fail_at(std::uint64_t position, const Parts&... parts) const {
        fail(path().string(), ": tar header at byte ", position, ": ", parts...);
    }

    MappedFile file_;
    std::vector<TarEntry> entries_;
    std::vector<std::string> dangling_;
    std::vector<Member> members_;              // while the archive is indexed
    std::map<std::string, std::size_t> last_;  // what is there under each name: a position in members_
};

}  // namespace flowfar::io
