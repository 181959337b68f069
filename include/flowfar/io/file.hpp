#pragma once

/// Files: read-only mappings, writes that replace the target only when complete, and the CRC-32 checksum.

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <concepts>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
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
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar::io {

using Path = std::filesystem::path;

namespace detail {

[[noreturn]] inline void fail_with_errno(const Path& path, const char* action) {
    const int code = errno;
    fail(path.string(), ": cannot ", action, ": ", std::generic_category().message(code));
}

/// Owns a file descriptor.
class Descriptor {
   public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() {
        if (number_ >= 0) {
            ::close(number_);
        }
    }
    [[nodiscard]] int number() const { return number_; }
    [[nodiscard]] bool valid() const { return number_ >= 0; }
    /// Closes now; false with errno set if the system reports a delayed write error.
    [[nodiscard]] bool close() { return ::close(std::exchange(number_, -1)) == 0; }

   private:
    int number_ = -1;
};

/// `flags` besides those of reading.
inline Descriptor open_for_reading(const Path& path, int flags = 0) {
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
    if (!file.valid()) {
        fail_with_errno(path, "open");
    }
    return file;
}

}  // namespace detail

/// What a process may do with the bytes of a mapping.
enum class Access : std::uint8_t {
    read,
    change_copy  ///< changes are the process's own and never reach the file; what is unchanged is shared by all
                 ///< processes
};

/// A file mapped into memory. The bytes stay valid while this object (or the one it was moved to) lives.
/// Another process that shortens the file meanwhile causes SIGBUS on access, as with every mapping; files written by
/// `write_atomically` are replaced, never shortened. Classes that read files also take one of these, so that they work
/// on bytes in memory too.
class MappedFile {
   public:
    MappedFile() = default;
    /// Throws `Error` with the path and the system's reason if `path` is not a readable regular file.
    explicit MappedFile(const Path& path, Access access = Access::read) : path_(path) {
        // Without O_NONBLOCK, opening a pipe would wait for its other end.
        const detail::Descriptor file = detail::open_for_reading(path, O_NONBLOCK);
        struct stat status {};
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
    /// Stands for a file whose bytes are in memory already; they are not copied and must outlive the object. `name`
    /// takes the path's place in error messages.
    [[nodiscard]] static MappedFile of_memory(Path name, std::span<const std::byte> bytes) {
        MappedFile file;
        file.path_ = std::move(name);
        file.data_ = bytes.data();
        file.size_ = bytes.size();
        return file;
    }
    MappedFile(MappedFile&& other) noexcept
        : path_(std::move(other.path_)),
          data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          mapped_(std::exchange(other.mapped_, false)) {}
    MappedFile& operator=(MappedFile&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(mapped_, other.mapped_);
        return *this;
    }
    ~MappedFile() {
        if (mapped_) {
            ::munmap(const_cast<std::byte*>(data_), size_);
        }
    }

    [[nodiscard]] const Path& path() const { return path_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }

    /// Lets the system drop the whole pages of a part of this file from memory. The bytes stay readable; they come from
    /// the disk again (or from the system's cache). For large files that are read once. Parts of other memory are left
    /// alone.
    void release(std::span<const std::byte> part) const {
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

   private:
    Path path_;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    bool mapped_ = false;
};

/// A file under construction: bytes go to a temporary file beside `path`, and `commit` puts it in the target's place.
/// Without `commit` the destructor removes the temporary file and the target stays as it was; if the process is killed
/// instead, the next writer of the same target removes it.
class OutputFile {
   public:
    explicit OutputFile(const Path& path) : path_(path) {
        std::error_code ignored;
        if (std::filesystem::is_symlink(path_, ignored)) {  // write through the link, do not replace it
            const Path target = std::filesystem::weakly_canonical(path_, ignored);
            path_ = ignored ? path_ : target;
        }
        struct stat status {};
        const bool exists = ::stat(path_.c_str(), &status) == 0;
        require(!exists || S_ISREG(status.st_mode), path.string(), ": cannot write: not a regular file");
        create_temporary();
        if (exists) {
            // Best effort: some file systems have no permission bits.
            static_cast<void>(::fchmod(file_.number(), status.st_mode & 07777U));
        }
        buffer_.reserve(buffer_capacity);
    }
    OutputFile(OutputFile&& other) noexcept
        : path_(std::move(other.path_)),
          temporary_(std::exchange(other.temporary_, {})),
          file_(std::move(other.file_)),
          buffer_(std::move(other.buffer_)),
          position_(other.position_),
          failed_(other.failed_) {}
    OutputFile& operator=(OutputFile&&) = delete;
    ~OutputFile() {
        if (!temporary_.empty()) {
            ::unlink(temporary_.c_str());
        }
    }

    /// Appends `bytes`; throws `Error` if the system does not take all of them.
    void write(std::span<const std::byte> bytes) {
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
    void write(std::string_view characters) { write(std::as_bytes(std::span(characters))); }

    /// Number of bytes written so far.
    [[nodiscard]] std::uint64_t position() const { return position_; }
    [[nodiscard]] const Path& path() const { return path_; }

    /// Forces everything to the disk, renames the temporary file to the target and forces the folder to the disk.
    /// Throws `Error` if that fails or if an earlier write failed.
    void commit() {
        require(!temporary_.empty(), path_.string(), ": committed twice");
        require(!failed_, path_.string(), ": not replaced, because a write failed");
        flush();
        if (::fsync(file_.number()) != 0) {
            detail::fail_with_errno(path_, "flush to disk");
        }
        if (!file_.close()) {
            detail::fail_with_errno(path_, "close");
        }
        if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
            detail::fail_with_errno(path_, "replace");
        }
        temporary_.clear();
        sync_directory();
    }

   private:
    static constexpr std::size_t buffer_capacity = std::size_t{1} << 16;

    [[nodiscard]] Path directory() const { return path_.has_parent_path() ? path_.parent_path() : Path("."); }

    void create_temporary() {
        static std::atomic<unsigned> counter{0};
        // The target as a hash, because its name may be as long as names can be.
        const std::string prefix = text(".flowfar-", std::filesystem::hash_value(path_.filename()), '-');
        remove_stale(prefix);
        for (int attempt = 0; attempt < 1000; ++attempt) {  // files of a process elsewhere may hold some names
            const Path candidate = directory() / text(prefix, ::getpid(), '-', counter++, ".tmp");
            file_ = detail::Descriptor(::open(candidate.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
            if (file_.valid()) {
                temporary_ = candidate;
                static_cast<void>(::flock(file_.number(), LOCK_EX | LOCK_NB));  // see is_abandoned
                return;
            }
            if (errno != EEXIST) {
                break;
            }
        }
        detail::fail_with_errno(path_, "create a temporary file beside it");
    }

    /// Removes the target's temporary files whose process was killed. Best effort: the write does not depend on it.
    void remove_stale(const std::string& prefix) const {
        std::error_code error;
        std::filesystem::directory_iterator entry(directory(), error);
        for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
            const std::string name = entry->path().filename().string();
            if (name.starts_with(prefix) && name.ends_with(".tmp")) {
                ::pid_t process = 0;
                std::from_chars(name.data() + prefix.size(), name.data() + name.size(), process);
                if (process > 0 && ::kill(process, 0) != 0 && errno == ESRCH && is_abandoned(entry->path())) {
                    ::unlink(entry->path().c_str());
                }
            }
        }
    }

    /// A process that is not found may live in another container or on another machine; then it holds a lock.
    [[nodiscard]] static bool is_abandoned(const Path& path) {
        // Network file systems lock only what is open for writing.
        const detail::Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
        return file.valid() && ::flock(file.number(), LOCK_EX | LOCK_NB) == 0;
    }

    void flush() {
        write_through(buffer_);
        buffer_.clear();
    }

    void write_through(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ::ssize_t count = ::write(file_.number(), bytes.data(), bytes.size());
            if (count < 0 && errno != EINTR) {
                failed_ = true;
                detail::fail_with_errno(path_, "write");
            }
            bytes = bytes.subspan(count < 0 ? 0 : static_cast<std::size_t>(count));
        }
    }

    /// Makes the new name last. A folder that may not be read, or a file system that cannot sync folders, must not turn
    /// success into failure.
    void sync_directory() const {
        const detail::Descriptor folder(::open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (folder.valid() && ::fsync(folder.number()) != 0 && errno != EINVAL && errno != ENOTSUP) {
            detail::fail_with_errno(path_, "flush its folder to disk");
        }
    }

    Path path_;
    Path temporary_;
    detail::Descriptor file_;
    std::vector<std::byte> buffer_;
    std::uint64_t position_ = 0;
    bool failed_ = false;
};

/// Calls `writer(OutputFile&)` and then replaces `path` with what it wrote. If anything throws, the old file (or its
/// absence) is untouched and no temporary file remains.
template <class Writer>
requires std::invocable<Writer, OutputFile&>
void write_atomically(const Path& path, Writer&& writer) {
    OutputFile file(path);
    std::forward<Writer>(writer)(file);
    file.commit();
}

inline void write_atomically(const Path& path, std::span<const std::byte> bytes) {
    write_atomically(path, [&](OutputFile& file) { file.write(bytes); });
}

/// The whole file as text; works for pipes and /proc too.
[[nodiscard]] inline std::string read_text(const Path& path) {
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

namespace detail {

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

/// CRC-32 as in zip and PNG (reflected polynomial 0xEDB88320). `previous` is the checksum of the bytes before, for data
/// that come in pieces.
[[nodiscard]] inline std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t previous = 0) {
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
