#pragma once

/// Files: read-only mappings, writes that replace the target only when complete, and the CRC-32 checksum.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar::io {

using Path = std::filesystem::path;

namespace detail {

[[noreturn]] void fail_with_errno(const Path& path, const char* action);

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

   private:
    int number_ = -1;
};

/// Opens a file; `flags` are added to the flags for reading.
Descriptor open_for_reading(const Path& path, int flags = 0);

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
    explicit MappedFile(const Path& path, Access access = Access::read);
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
    void release(std::span<const std::byte> part) const;

   private:
    Path path_;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    bool mapped_ = false;
};

/// A file under construction: bytes go to a temporary file beside `path`, and `commit` puts it in the target's place.
/// Without `commit` the destructor removes the temporary file and the target stays as it was; if the process is killed
/// instead, the next writer of the same target removes it. Writers hold a lock on their temporary files, so that
/// writers of one target do not disturb each other, in whatever process, container or machine; the last one wins.
class OutputFile {
   public:
    explicit OutputFile(const Path& path);
    OutputFile(OutputFile&& other) noexcept
        : path_(std::move(other.path_)),
          temporary_(std::exchange(other.temporary_, {})),
          file_(std::move(other.file_)),
          buffer_(std::move(other.buffer_)),
          position_(other.position_),
          failed_(other.failed_) {}
    OutputFile& operator=(OutputFile&&) = delete;
    ~OutputFile();

    /// Appends `bytes`; throws `Error` if the system does not take all of them.
    void write(std::span<const std::byte> bytes);
    void write(std::string_view characters) { write(std::as_bytes(std::span(characters))); }

    /// Number of bytes written so far.
    [[nodiscard]] std::uint64_t position() const { return position_; }
    [[nodiscard]] const Path& path() const { return path_; }

    /// Forces everything to the disk, renames the temporary file to the target and forces the folder to the disk.
    /// Throws `Error` if that fails or if an earlier write failed.
    void commit();

   private:
    static constexpr std::size_t buffer_capacity = std::size_t{1} << 16;

    [[nodiscard]] Path directory() const { return path_.has_parent_path() ? path_.parent_path() : Path("."); }

    [[nodiscard]] Path temporary_name(int number) const;
    void create_temporary(::mode_t mode);
    /// Whether the path leads to this very file, a regular one.
    [[nodiscard]] static bool has_name(const detail::Descriptor& file, const Path& path);
    /// Removes a temporary file that nobody has locked: its writer was killed. Whether there was one.
    static bool remove_abandoned(const Path& path);

    void flush() {
        write_through(buffer_);
        buffer_.clear();
    }

    void write_through(std::span<const std::byte> bytes);

    /// Makes the new name last. A folder that may not be read, or a file system that cannot sync folders, must not turn
    /// success into failure.
    void sync_directory() const;

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
[[nodiscard]] std::string read_text(const Path& path);

/// CRC-32 as in zip and PNG (reflected polynomial 0xEDB88320). `previous` is the checksum of the bytes before, for data
/// that come in pieces.
[[nodiscard]] std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t previous = 0);

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/bytes/file.ipp"
#endif
