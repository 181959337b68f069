#pragma once

// One run per folder of results, one process per file.

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "flowfar/core/error.hpp"

namespace flowfar::program {

/// Holds a lock file while it lives, or not: `held` says which. The operating system drops the lock of a process that
/// dies, so a file that was left behind refuses nobody.
class FileLock {
   public:
    explicit FileLock(std::filesystem::path path) : path_(std::move(path)) {
        for (;;) {
            file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
            require(file_ >= 0, path_.string(), ": cannot be made");
            if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
                holder_ = content();
                ::close(std::exchange(file_, -1));
                return;
            }
            struct stat own{};
            struct stat named{};
            if (::fstat(file_, &own) == 0 && ::stat(path_.c_str(), &named) == 0 && own.st_ino == named.st_ino) {
                break;
            }
            ::close(file_);  // its owner removed the file since it was opened
        }
        std::array<char, 256> host{};
        ::gethostname(host.data(), host.size() - 1);
        const std::string words = text("process ", ::getpid(), " on ", host.data());
        if (::ftruncate(file_, 0) != 0 || ::pwrite(file_, words.data(), words.size(), 0) < 0) {
            return;  // the lock holds all the same
        }
    }
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;
    ~FileLock() {
        if (held()) {
            ::unlink(path_.c_str());
            ::close(file_);
        }
    }

    [[nodiscard]] bool held() const { return file_ >= 0; }
    /// Process and host that hold it instead; empty if they did not say.
    [[nodiscard]] const std::string& holder() const { return holder_; }

   private:
    [[nodiscard]] std::string content() const {
        std::array<char, 512> buffer{};
        const ::ssize_t count = ::pread(file_, buffer.data(), buffer.size(), 0);
        return {buffer.data(), static_cast<std::size_t>(std::max<::ssize_t>(count, 0))};
    }

    std::filesystem::path path_;
    std::string holder_;
    int file_ = -1;
};

/// Holds a folder's file "lock", or one of another name, while it lives.
class FolderLock {
   public:
    /// Throws `Error` that names process and host if another run holds the folder.
    explicit FolderLock(const std::filesystem::path& folder, const std::string& name = "lock") : lock_(folder / name) {
        require(lock_.held(), folder.string(), ": another run writes here (",
                lock_.holder().empty() ? "unknown" : lock_.holder(), "); wait for its end or choose another folder");
    }

   private:
    FileLock lock_;
};

}  // namespace flowfar::program
