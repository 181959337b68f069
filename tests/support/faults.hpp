#pragma once

/// Makes the system fail for a child process, without any seam in the tested code: limits, tiny and read-only file
/// systems in a mount namespace, system calls that return errors (seccomp), and death at a chosen system call (ptrace).

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar::testing {

/// The system does not let this process make such a fault.
class NotPermitted : public Error {
   public:
    using Error::Error;
};

[[noreturn]] inline void not_permitted(const char* what) {
    throw NotPermitted(text(what, ": ", std::strerror(errno)));
}

/// What a child process had to say: the text that `body()` returned, "error: …" for an exception, "not permitted: …",
/// or "killed".
template <class Body>
[[nodiscard]] std::string in_child(Body&& body) {
    constexpr std::size_t room = 1024;
    void* shared = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(shared != MAP_FAILED, "the test cannot share memory");
    auto* answer = static_cast<char*>(shared);
    std::memcpy(answer, "killed", 7);
    const ::pid_t child = ::fork();
    require(child >= 0, "the test cannot fork");
    if (child == 0) {
        std::string said;
        try {
            said = body();
        } catch (const NotPermitted& refused) {
            said = text("not permitted: ", refused.what());
        } catch (const std::exception& error) {
            said = text("error: ", error.what());
        }
        said.resize(std::min(said.size(), room - 1));
        std::memcpy(answer, said.c_str(), said.size() + 1);
        ::_exit(0);  // without the test program's own end
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    const std::string said = answer;
    ::munmap(shared, room);
    return said;
}

/// From here on, this process and its children see mounts of their own.
inline void private_mounts() {
    const ::uid_t user = ::geteuid();
    const ::gid_t group = ::getegid();
    if (user != 0) {
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            not_permitted("a user namespace");
        }
        // Files need an owner in the new namespace.
        for (const auto& [name, line] : {std::pair{"setgroups", std::string("deny")},
                                         {"uid_map", text("0 ", user, " 1")},
                                         {"gid_map", text("0 ", group, " 1")}}) {
            std::ofstream file(text("/proc/self/", name));
            if (!(file << line).flush()) {
                not_permitted("an owner in a user namespace");
            }
        }
    } else if (::unshare(CLONE_NEWNS) != 0) {
        not_permitted("a mount namespace");
    }
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        not_permitted("private mounts");
    }
}

/// Puts a file system of `bytes` bytes in memory over `folder`, for this process.
inline void mount_tiny(const std::filesystem::path& folder, std::size_t bytes) {
    private_mounts();
    if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, text("size=", bytes).c_str()) != 0) {
        not_permitted("a tiny file system");
    }
}

/// Makes `folder` read-only for this process, root included.
inline void mount_read_only(const std::filesystem::path& folder) {
    private_mounts();
    if (::mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        ::mount(nullptr, folder.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
        not_permitted("a read-only mount");
    }
}

/// Files of this process cannot grow beyond `bytes`; a write fails as on a full disk.
inline void limit_file_size(std::size_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    limit.rlim_cur = limit.rlim_max = bytes;
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        not_permitted("a limit on file sizes");
    }
}

/// Numbers of the system calls that may be behind rename().
inline const std::vector<long>& rename_calls() {
    static const std::vector<long> calls = {
#if defined(SYS_rename)
        SYS_rename,
#endif
#if defined(SYS_renameat)
        SYS_renameat,
#endif
        SYS_renameat2,
    };
    return calls;
}

/// From here on, the system calls `numbers` of this process do nothing and fail with `error`.
inline void fail_calls(const std::vector<long>& numbers, int error) {
    std::vector<sock_filter> program = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (const long number : numbers) {
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
        program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        not_permitted("a system call filter");
    }
}

/// What became of a watched child process.
struct Watched {
    bool finished = false;    ///< ran to its end, otherwise killed
    std::vector<long> calls;  ///< numbers of the system calls it began, in order
};

/// Runs `body()` in a child process and kills it (SIGKILL) at the `stop`-th event, counted from 0; each system call has
/// two, before and after. Throws NotPermitted where processes may not be watched.
template <class Body>
[[nodiscard]] Watched killed_at(std::size_t stop, Body&& body) {
    const ::pid_t child = ::fork();
    require(child >= 0, "the test cannot fork");
    if (child == 0) {
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
            ::_exit(42);
        }
        ::raise(SIGSTOP);
        try {
            body();
        } catch (...) {
            ::_exit(1);
        }
        ::_exit(0);
    }
    Watched seen;
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) {
        throw NotPermitted("ptrace");
    }
    ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (std::size_t event = 0; WIFSTOPPED(status); ++event) {
        if (event > 0 && WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            __ptrace_syscall_info info{};
            if (::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) > 0 &&
                info.op == PTRACE_SYSCALL_INFO_ENTRY) {
                seen.calls.push_back(static_cast<long>(info.entry.nr));
            }
        }
        if (event == stop + 1) {
            ::kill(child, SIGKILL);
        }
        ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
        if (::waitpid(child, &status, 0) < 0) {
            break;
        }
    }
    require(!WIFEXITED(status) || WEXITSTATUS(status) == 0, "the watched process failed");
    seen.finished = WIFEXITED(status);
    return seen;
}

}  // namespace flowfar::testing
