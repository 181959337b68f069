#include "flowfar/io/bytes/file.hpp"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "io_support.hpp"
#include "support/temp_dir.hpp"

using flowfar::Error;
using flowfar::testing::contains;
using flowfar::testing::error_text;
using flowfar::testing::TempDir;
namespace fs = std::filesystem;
namespace io = flowfar::io;

namespace {

std::span<const std::byte> bytes_of(const std::string& characters) {
    return std::as_bytes(std::span(characters));
}

std::size_t file_count(const fs::path& folder) {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
        count += entry.path().empty() ? 0U : 1U;
    }
    return count;
}

}  // namespace

TEST_CASE("crc32 agrees with published check values") {
    CHECK(io::crc32(bytes_of("")) == 0U);
    CHECK(io::crc32(bytes_of("123456789")) == 0xCBF43926U);
    CHECK(io::crc32(bytes_of("The quick brown fox jumps over the lazy dog")) == 0x414FA339U);
}

TEST_CASE("crc32 of pieces continues from any split") {
    std::string text;
    for (int i = 0; i < 61; ++i) {
        text += static_cast<char>(i * i + 3);
    }
    const std::uint32_t whole = io::crc32(bytes_of(text));
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        CHECK(io::crc32(bytes_of(text).subspan(cut), io::crc32(bytes_of(text).first(cut))) == whole);
    }
}

TEST_CASE("a written file can be mapped, moved and read as text") {
    const TempDir folder;
    const fs::path path = folder / "a.bin";
    const std::string content("one\0two", 7);
    io::write_atomically(path, bytes_of(content));
    io::MappedFile first(path);
    CHECK(first.size() == 7);
    CHECK(first.path() == path);
    const auto* address = first.bytes().data();
    io::MappedFile second(std::move(first));
    CHECK(second.bytes().data() == address);
    CHECK(first.size() == 0);
    io::MappedFile third;
    third = std::move(second);
    CHECK(io::crc32(third.bytes()) == io::crc32(bytes_of(content)));
    CHECK(io::read_text(path) == content);
}

TEST_CASE("an empty file maps to no bytes") {
    const TempDir folder;
    io::write_atomically(folder / "empty", std::span<const std::byte>{});
    CHECK(io::MappedFile(folder / "empty").bytes().empty());
    CHECK(io::read_text(folder / "empty").empty());
}

TEST_CASE("read_text works where the size is not known") {
    CHECK(io::read_text("/proc/self/status").find("Name:") != std::string::npos);
}

TEST_CASE("errors name the path and the system's reason") {
    const TempDir folder;
    const std::string missing = (folder / "missing").string();
    CHECK(error_text([&] { io::MappedFile file(missing); }) == missing + ": cannot open: No such file or directory");
    CHECK(error_text([&] { (void)io::read_text(missing); }) == missing + ": cannot open: No such file or directory");
    CHECK(error_text([&] { (void)io::read_text(folder.path()); }).find("Is a directory") != std::string::npos);
    CHECK(error_text([&] { io::MappedFile file(folder.path()); }).find("expected a regular file") != std::string::npos);
    const fs::path pipe = folder / "pipe";  // nobody will ever open its other end
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    CHECK(error_text([&] { io::MappedFile file(pipe); }) == pipe.string() + ": expected a regular file");
    const fs::path nowhere = folder / "no/such/folder";
    CHECK(error_text([&] { io::write_atomically(nowhere, bytes_of("x")); }).find("No such file") != std::string::npos);
}

TEST_CASE("small and large writes keep their order and count") {
    const TempDir folder;
    std::string expected;
    std::uint64_t position = 0;
    io::write_atomically(folder / "mixed", [&](io::OutputFile& file) {
        for (const std::size_t size : {0U, 1U, 65535U, 1U, 65536U, 200'000U, 7U, 65537U}) {
            const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
            file.write(piece);
            expected += piece;
        }
        position = file.position();
    });
    CHECK(position == expected.size());
    CHECK(io::read_text(folder / "mixed") == expected);
    CHECK(file_count(folder.path()) == 1);
}

TEST_CASE("an exception leaves the old file and no temporary") {
    const TempDir folder;
    const fs::path path = folder / "keep";
    const auto fail_midway = [&] {
        io::write_atomically(path, [](io::OutputFile& file) {
            file.write(std::string(100'000, 'n'));
            throw std::runtime_error("interrupted");
        });
    };
    CHECK_THROWS_AS(fail_midway(), std::runtime_error);
    CHECK(file_count(folder.path()) == 0);
    io::write_atomically(path, bytes_of("old"));
    CHECK_THROWS_AS(fail_midway(), std::runtime_error);
    CHECK(io::read_text(path) == "old");
    CHECK(file_count(folder.path()) == 1);
    {
        io::OutputFile abandoned(path);
        abandoned.write("new");
        io::OutputFile moved(std::move(abandoned));
        CHECK(file_count(folder.path()) == 2);
    }
    CHECK(io::read_text(path) == "old");
    CHECK(file_count(folder.path()) == 1);
}

TEST_CASE("the next write removes what a killed process left") {
    const TempDir folder;
    const fs::path path = folder / "target";
    for (const char* name : {"target", "other"}) {
        const ::pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            io::OutputFile unfinished(folder / name);
            unfinished.write(std::string(100'000, 'n'));
            ::kill(::getpid(), SIGKILL);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        REQUIRE(WIFSIGNALED(status));
    }
    CHECK(file_count(folder.path()) == 2);
    io::OutputFile living(path);  // removes one and makes one
    CHECK(file_count(folder.path()) == 2);
    living.write("first");
    io::write_atomically(path, bytes_of("second"));
    CHECK(file_count(folder.path()) == 3);
    living.commit();
    CHECK(io::read_text(path) == "first");
    io::write_atomically(folder / "other", bytes_of("x"));
    CHECK(file_count(folder.path()) == 2);
}

TEST_CASE("a temporary file that a process elsewhere still writes is left alone") {
    const TempDir folder;
    const fs::path path = folder / "target";
    const ::pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        io::OutputFile unfinished(path);
        ::kill(::getpid(), SIGKILL);
    }
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    REQUIRE(file_count(folder.path()) == 1);
    const int writer = ::open(fs::directory_iterator(folder.path())->path().c_str(), O_WRONLY);  // has another number
    REQUIRE(writer >= 0);
    REQUIRE(::flock(writer, LOCK_EX) == 0);
    io::write_atomically(path, bytes_of("x"));
    CHECK(file_count(folder.path()) == 2);
    ::close(writer);
    io::write_atomically(path, bytes_of("x"));
    CHECK(file_count(folder.path()) == 1);

    const fs::path other = folder / "folder";  // what our own files look like to others
    fs::create_directory(other);
    const io::OutputFile unfinished(other / "target");
    const int reader = ::open(fs::directory_iterator(other)->path().c_str(), O_RDWR);
    REQUIRE(reader >= 0);
    CHECK(::flock(reader, LOCK_EX | LOCK_NB) != 0);
    ::close(reader);
}

TEST_CASE("what others put in the place of temporary files is neither followed nor removed") {
    const TempDir folder;
    const fs::path path = folder / "target";
    const auto names = [&] {
        std::set<std::string> out;
        for (const auto& entry : fs::directory_iterator(folder.path())) {
            out.insert(entry.path().filename().string());
        }
        return out;
    };
    fs::path first;
    {
        const io::OutputFile unfinished(path);
        first = fs::directory_iterator(folder.path())->path();
    }
    io::write_atomically(folder / "victim", bytes_of("kept"));
    fs::create_symlink("victim", first);
    io::write_atomically(path, bytes_of("new"));
    CHECK(names() == std::set<std::string>{first.filename().string(), "target", "victim"});
    CHECK(io::read_text(folder / "victim") == "kept");
    CHECK(io::read_text(path) == "new");
    fs::remove(first);
    REQUIRE(::mkfifo(first.c_str(), 0600) == 0);
    io::write_atomically(path, bytes_of("newer"));
    CHECK(names() == std::set<std::string>{first.filename().string(), "target", "victim"});
    CHECK(io::read_text(path) == "newer");
}

TEST_CASE("processes that write one target at the same time do not disturb each other") {
    const TempDir folder;
    const fs::path path = folder / "target";
    const std::string piece(50'000, 'x');
    const auto is_whole = [&](const std::string& found) {
        return found.size() == piece.size() + 1 && found.substr(0, piece.size()) == piece;
    };
    io::write_atomically(path, bytes_of(piece + "0"));
    std::vector<::pid_t> children;
    for (int i = 0; i < 4; ++i) {
        const ::pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            bool good = true;
            for (int round = 0; round < 150; ++round) {
                good = good && error_text([&] {
                                   io::write_atomically(path, bytes_of(piece + static_cast<char>('1' + i)));
                               }) == "no error";
                good = good && is_whole(io::read_text(path));
            }
            ::_exit(good ? 0 : 1);
        }
        children.push_back(child);
    }
    for (const ::pid_t child : children) {
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    CHECK(is_whole(io::read_text(path)));
    CHECK(file_count(folder.path()) == 1);
}

TEST_CASE("the next write removes what several killed processes left, around the file of one that lived") {
    const TempDir folder;
    const fs::path path = folder / "target";
    const auto begin_writing = [&] {
        const ::pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            const io::OutputFile unfinished(path);
            ::kill(::getpid(), SIGSTOP);
            ::_exit(0);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, WUNTRACED) == child);
        REQUIRE(WIFSTOPPED(status));
        return child;
    };
    {
        const ::pid_t first = begin_writing();
        const io::OutputFile living(path);
        const ::pid_t last = begin_writing();
        CHECK(file_count(folder.path()) == 3);
        for (const ::pid_t child : {first, last}) {
            REQUIRE(::kill(child, SIGKILL) == 0);
            REQUIRE(::waitpid(child, nullptr, 0) == child);
        }
    }
    CHECK(file_count(folder.path()) == 2);
    io::write_atomically(path, bytes_of("x"));
    CHECK(file_count(folder.path()) == 1);
}

TEST_CASE("a full disk is an error and leaves the old file") {
    const TempDir folder;
    const fs::path path = folder / "limited";
    io::write_atomically(path, bytes_of("old"));
    // A size limit makes write(2) fail just as a full disk does, once the signal is ignored.
    const auto previous = std::signal(SIGXFSZ, SIG_IGN);
    rlimit old_limit{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
    rlimit limit = old_limit;
    limit.rlim_cur = 100'000;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const std::string large = error_text([&] { io::write_atomically(path, bytes_of(std::string(300'000, 'x'))); });
    const std::string pieces = error_text([&] {
        io::write_atomically(path, [](io::OutputFile& file) {
            for (int i = 0; i < 20; ++i) {
                file.write(std::string(10'000, 'x'));
            }
        });
    });
    io::OutputFile stubborn(path);
    const std::string ignored = error_text([&] { stubborn.write(std::string(300'000, 'x')); });
    const std::string committed = error_text([&] { stubborn.commit(); });
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &old_limit) == 0);
    std::signal(SIGXFSZ, previous);
    CHECK(large == path.string() + ": cannot write: File too large");
    CHECK(pieces == large);
    CHECK(ignored == large);
    CHECK(contains(committed, "not replaced, because a write failed"));
    CHECK(io::read_text(path) == "old");
    CHECK(file_count(folder.path()) == 2);  // one belongs to the last, still open file
}

TEST_CASE("a folder without write permission is an error" * doctest::skip(::geteuid() == 0)) {
    const TempDir folder;
    const fs::path locked = folder / "locked";
    fs::create_directory(locked);
    fs::permissions(locked, fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(error_text([&] { io::write_atomically(locked / "x", bytes_of("x")); }).find("Permission denied") !=
          std::string::npos);
    fs::permissions(locked, fs::perms::owner_all);
}

TEST_CASE("a file system that takes no files is an error") {
    const std::string message = error_text([] { io::write_atomically("/proc/flowfar", bytes_of("x")); });
    CHECK(message.starts_with("/proc/flowfar: cannot create a temporary file beside it: "));
}

TEST_CASE("special files are never replaced") {
    const TempDir folder;
    CHECK(error_text([&] { io::write_atomically("/dev/null", bytes_of("x")); }).find("not a regular file") !=
          std::string::npos);
    CHECK(error_text([&] { io::write_atomically(folder.path(), bytes_of("x")); }).find("not a regular file") !=
          std::string::npos);
    CHECK(fs::is_character_file("/dev/null"));
}

TEST_CASE("replacing keeps permissions and writes through links") {
    const TempDir folder;
    const fs::path path = folder / "target";
    io::write_atomically(path, bytes_of("old"));
    REQUIRE(::chmod(path.c_str(), 0640) == 0);
    fs::create_directory(folder / "elsewhere");
    fs::create_symlink("../target", folder / "elsewhere/link");
    io::write_atomically(folder / "elsewhere/link", bytes_of("new"));
    CHECK(fs::is_symlink(folder / "elsewhere/link"));
    CHECK(io::read_text(path) == "new");
    CHECK(static_cast<int>(fs::status(path).permissions()) == 0640);
}

TEST_CASE("an output file is used once") {
    const TempDir folder;
    io::OutputFile file(folder / "once");
    file.write("text");
    file.commit();
    CHECK_THROWS_AS(file.commit(), Error);
    CHECK_THROWS_AS(file.write("more"), Error);
    CHECK(io::read_text(folder / "once") == "text");
}

TEST_CASE("long names and relative paths work") {
    const TempDir folder;
    const std::string name(255, 'n');  // the longest that common file systems take
    io::write_atomically(folder / name, bytes_of("x"));
    CHECK(io::read_text(folder / name) == "x");
    const fs::path here = fs::current_path();
    fs::current_path(folder.path());
    io::write_atomically("relative", bytes_of("y"));
    fs::current_path(here);
    CHECK(io::read_text(folder / "relative") == "y");
}
