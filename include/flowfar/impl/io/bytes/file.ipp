#pragma once

/// The definitions of file.hpp.

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"

namespace flowfar::io {

namespace detail {

[[noreturn]] FLOWFAR_INLINE void fail_with_errno(const Path& path, const char* action) {
    const int code = errno;
    fail(path.string(), ": cannot ", action, ": ", std::generic_category().message(code));
}

/// The file that a link leads to, whether or not it exists: writing goes through links and does not replace them.
FLOWFAR_INLINE Path through_links(Path path) {
    std::error_code ignored;
    for (int links = 0; links < 40 && std::filesystem::is_symlink(path, ignored); ++links) {
        const Path target = std::filesystem::read_symlink(path, ignored);
        path = target.is_absolute() ? target : path.parent_path() / target;
    }
    return path;
}

FLOWFAR_INLINE Descriptor open_for_reading(const Path& path, int flags) {
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
    if (!file.valid()) {
        fail_with_errno(path, "open");
    }
    return file;
}

/// tables[k][b] advances the remainder of byte b by k further zero bytes, so that eight bytes take one step.
consteval std::array<std::array<std::uint32_t, 256>, 8> make_crc_tables() {
    std::array<std::array<std::uint32_t, 256>, 8> tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t remainder = byte;
        for (int bit = 0; bit < 8; ++bit) {
            remainder = (remainder >> 1) ^ ((remainder & 1U) != 0 ? 0xEDB88320U : 0U);
        }
        tables[0][byte] = remainder;
    }
    for (std::size_t k = 1; k < 8; ++k) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t previous = tables[k - 1][byte];
            tables[k][byte] = (previous >> 8) ^ tables[0][previous & 0xFFU];
        }
    }
    return tables;
}

inline constexpr auto crc_tables = make_crc_tables();

}  // namespace detail

FLOWFAR_INLINE MappedFile::MappedFile(const Path& path, Access access) : path_(path) {
    // Without O_NONBLOCK, opening a pipe would wait for its other end.
    const detail::Descriptor file = detail::open_for_reading(path, O_NONBLOCK);
    struct stat status{};
    if (::fstat(file.number(), &status) != 0) {
        detail::fail_with_errno(path, "inspect");
    }
    require(S_ISREG(status.st_mode), path.string(), ": expected a regular file");
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) {
        return;  // an empty range cannot be mapped
    }
    const int protection = access == Access::read ? PROT_READ : PROT_READ | PROT_WRITE;
    void* address = ::mmap(nullptr, size_, protection, MAP_PRIVATE, file.number(), 0);
    if (address == MAP_FAILED) {
        detail::fail_with_errno(path, "map");
    }
    data_ = static_cast<const std::byte*>(address);
    mapped_ = true;
}

FLOWFAR_INLINE void MappedFile::release(std::span<const std::byte> part) const {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto first = reinterpret_cast<std::uintptr_t>(part.data());
    const auto mapping = reinterpret_cast<std::uintptr_t>(data_);
    if (!mapped_ || first < mapping || first + part.size() > mapping + size_) {
        return;
    }
    const std::uintptr_t begin = (first + page - 1) / page * page;
    const std::uintptr_t end = (first + part.size()) / page * page;
    if (begin < end) {  // advice only: nothing is lost if the system does not take it
        static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
    }
}

FLOWFAR_INLINE OutputFile::OutputFile(const Path& path) : path_(path) {
    path_ = detail::through_links(path);
    struct stat status{};
    const bool exists = ::stat(path_.c_str(), &status) == 0;
    require(!exists || S_ISREG(status.st_mode), path.string(), ": cannot write: not a regular file");
    // Nobody may open the new file who could not open the old one: so it is the owner's alone at first.
    create_temporary(exists ? 0600U : 0666U);
    if (exists) {
        // Best effort: some file systems have no permission bits.
        const bool same_group = ::fchown(file_.number(), static_cast<::uid_t>(-1), status.st_gid) == 0;
        const ::mode_t kept = same_group ? 07777U : 05707U;
        static_cast<void>(::fchmod(file_.number(), status.st_mode & kept));
    }
    buffer_.reserve(buffer_capacity);
}

FLOWFAR_INLINE OutputFile::~OutputFile() {
    if (!temporary_.empty()) {
        ::unlink(temporary_.c_str());
    }
}

FLOWFAR_INLINE void OutputFile::write(std::span<const std::byte> bytes) {
    require(!temporary_.empty(), path_.string(), ": write after commit");
    if (buffer_.size() + bytes.size() > buffer_capacity) {
        flush();
    }
    if (bytes.size() >= buffer_capacity) {
        write_through(bytes);
    } else {
        buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
    position_ += bytes.size();
}

FLOWFAR_INLINE void OutputFile::commit() {
    require(!temporary_.empty(), path_.string(), ": committed twice");
    require(!failed_, path_.string(), ": not replaced, because a write failed");
    flush();
    if (::fsync(file_.number()) != 0) {
        detail::fail_with_errno(path_, "flush to disk");
    }
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
        detail::fail_with_errno(path_, "replace");
    }
    temporary_.clear();
    file_ = {};  // its lock kept the temporary file from being taken for abandoned
    sync_directory();
}

FLOWFAR_INLINE Path OutputFile::temporary_name(int number) const {
    // The target as a hash, because its name may be as long as names can be.
    return directory() / text(".flowfar-", std::filesystem::hash_value(path_.filename()), '-', number, ".tmp");
}

FLOWFAR_INLINE void OutputFile::create_temporary(::mode_t mode) {
    for (int number = 0; number < 1000;) {
        const Path candidate = temporary_name(number);
        file_ = detail::Descriptor(::open(candidate.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
        if (file_.valid()) {
            const bool taken = ::flock(file_.number(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
            if (!taken && has_name(file_, candidate)) {
                temporary_ = candidate;
                for (int other = number + 1; other <= number + 8; ++other) {  // as many writers may have died at once
                    remove_abandoned(temporary_name(other));
                }
                return;
            }
            ++number;  // another writer found the file before it was locked, and took it for abandoned
        } else if (errno != EEXIST) {
            detail::fail_with_errno(path_, "create a temporary file beside it");
        } else if (!remove_abandoned(candidate)) {
            ++number;
        }
    }
    fail(path_.string(), ": cannot create a temporary file beside it: too many files of that kind");
}

FLOWFAR_INLINE bool OutputFile::has_name(const detail::Descriptor& file, const Path& path) {
    struct stat own{};
    struct stat named{};
    return ::fstat(file.number(), &own) == 0 && ::lstat(path.c_str(), &named) == 0 && S_ISREG(named.st_mode) &&
           own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

FLOWFAR_INLINE bool OutputFile::remove_abandoned(const Path& path) {
    // Network file systems lock only what is open for writing.
    const detail::Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    // Only who holds the lock of the file that has the name may take the name away. A file that was renamed since it
    // was opened is somebody's target, and the name another writer's.
    return file.valid() && ::flock(file.number(), LOCK_EX | LOCK_NB) == 0 && has_name(file, path) &&
           ::unlink(path.c_str()) == 0;
}

FLOWFAR_INLINE void OutputFile::write_through(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ::ssize_t count = ::write(file_.number(), bytes.data(), bytes.size());
        if (count < 0 && errno != EINTR) {
            failed_ = true;
            detail::fail_with_errno(path_, "write");
        }
        bytes = bytes.subspan(count < 0 ? 0 : static_cast<std::size_t>(count));
    }
}

FLOWFAR_INLINE void OutputFile::sync_directory() const {
    const detail::Descriptor folder(::open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.valid() && ::fsync(folder.number()) != 0 && errno != EINVAL && errno != ENOTSUP) {
        detail::fail_with_errno(path_, "flush its folder to disk");
    }
}

FLOWFAR_INLINE std::string read_text(const Path& path) {
    const detail::Descriptor file = detail::open_for_reading(path);
    std::string out;
    std::array<char, 1U << 14> buffer;
    for (;;) {
        const ::ssize_t count = ::read(file.number(), buffer.data(), buffer.size());
        if (count < 0 && errno != EINTR) {
            detail::fail_with_errno(path, "read");
        }
        if (count == 0) {
            return out;
        }
        out.append(buffer.data(), count < 0 ? 0 : static_cast<std::size_t>(count));
    }
}

FLOWFAR_INLINE std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t previous) {
    const auto& tables = detail::crc_tables;
    const auto at = [&](std::size_t i) { return std::to_integer<std::uint32_t>(bytes[i]); };
    std::uint32_t crc = ~previous;
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
        const std::uint32_t low = crc ^ (at(i) | (at(i + 1) << 8) | (at(i + 2) << 16) | (at(i + 3) << 24));
        crc = tables[7][low & 0xFFU] ^ tables[6][(low >> 8) & 0xFFU] ^ tables[5][(low >> 16) & 0xFFU] ^
              tables[4][low >> 24] ^ tables[3][at(i + 4)] ^ tables[2][at(i + 5)] ^ tables[1][at(i + 6)] ^
              tables[0][at(i + 7)];
    }
    for (; i < bytes.size(); ++i) {
        crc = (crc >> 8) ^ tables[0][(crc ^ at(i)) & 0xFFU];
    }
    return ~crc;
}

}  // namespace flowfar::io
