#pragma once

/// Runs the programs that the build made, as a user would: arguments in, exit code and texts out.

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"

#include "folders.hpp"
#include "temp_dir.hpp"

namespace flowfar::testing {

struct Outcome {
    int code = -1;    ///< exit code, or 128 + the signal that ended the process
    std::string out;  ///< what it wrote to stdout
    std::string err;
};

/// A running example program. The destructor kills it.
class Process {
   public:
    Process(const std::string& program, const std::vector<std::string>& arguments) {
        const std::filesystem::path binary = flowfar::testing::binary_folder() / "examples" / program;
        require(std::filesystem::exists(binary), binary.string(), ": missing; build the target \"examples\" first");
        std::vector<std::string> words = {binary.string()};
        words.insert(words.end(), arguments.begin(), arguments.end());
        std::vector<char*> pointers;
        for (std::string& word : words) {
            pointers.push_back(word.data());
        }
        pointers.push_back(nullptr);
        const std::string out = (folder_ / "out").string();
        const std::string err = (folder_ / "err").string();
        id_ = ::fork();
        require(id_ >= 0, "cannot fork");
        if (id_ == 0) {
            redirect(out, STDOUT_FILENO);
            redirect(err, STDERR_FILENO);
            ::execv(pointers.front(), pointers.data());
            ::_exit(127);
        }
    }
    ~Process() {
        if (id_ > 0) {
            ::kill(id_, SIGKILL);
            static_cast<void>(finish());
        }
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void signal(int number) const { ::kill(id_, number); }

    /// Whether `condition()` came true before the process ended.
    [[nodiscard]] bool reaches(const std::function<bool()>& condition) {
        while (!condition()) {
            siginfo_t info = {};
            ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT);
            if (info.si_pid != 0) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return true;
    }

    /// What it wrote to stderr so far.
    [[nodiscard]] std::string errors() const {
        const std::filesystem::path file = folder_ / "err";
        return std::filesystem::exists(file) ? io::read_text(file) : "";  // the process makes it
    }

    /// Waits for the end.
    [[nodiscard]] Outcome finish() {
        int status = 0;
        ::waitpid(std::exchange(id_, 0), &status, 0);
        return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), io::read_text(folder_ / "out"),
                io::read_text(folder_ / "err")};
    }

   private:
    static void redirect(const std::string& path, int descriptor) {
        const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (file < 0 || ::dup2(file, descriptor) < 0) {
            ::_exit(126);
        }
    }

    TempDir folder_;
    pid_t id_ = 0;
};

[[nodiscard]] inline Outcome run(const std::string& program, const std::vector<std::string>& arguments) {
    return Process(program, arguments).finish();
}

/// The two lists joined.
[[nodiscard]] inline std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// Whether this build's programs have a configuration. Sanitizer builds compile the smallest one alone
/// (FLOWFAR_PROGRAM_CONFIGS).
[[nodiscard]] inline bool program_has(const std::string& program, const std::string& configuration) {
    return run(program, {"--config", "?"}).err.find(configuration) != std::string::npos;
}

}  // namespace flowfar::testing
