/// Every writer of the library, while the system fails in each way that can be arranged: the old file stays whole, no
/// half-written file appears under its name, and the error says which file and why.

#include "faults.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/checkpoints/train_state.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/philox.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/tensors/npy.hpp"
#include "flowfar/io/tensors/npz.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"
#include "flowfar/nn/linear.hpp"

#include "../../examples/programs/common/cli/jsonl.hpp"
#include "io_support.hpp"
#include "temp_dir.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

/// Every file written here has more than 100 kB, except for the log, which has half of that before and after.
constexpr std::size_t disk_bytes = 80 * 1024;
constexpr std::size_t limit_bytes = 32 * 1024;

struct Writer {
    const char* name;
    std::string old;  ///< what the file holds before
    std::function<void(const io::Path&)> write;
};

Image noise_image() {
    Image image = make_image(200, 256);
    Random random(7);
    for (std::uint8_t& value : image.pixels) {
        value = static_cast<std::uint8_t>(random.below(256));
    }
    return image;
}

template <class Writer>
void write_four(Writer&& writer) {
    const std::vector<float> values(10'000, 0.5F);
    for (const char* name : {"a", "b", "c", "d"}) {
        writer.declare(name, DType::f32, {100, 100});
    }
    for (const char* name : {"a", "b", "c", "d"}) {
        writer.write(name, std::as_bytes(std::span(values)));
    }
    writer.finish();
}

void write_tokens(const io::Path& path) {
    io::TokenFile file;
    file.height = file.width = 32;
    file.tokens = {200, 256, 2, 9, std::vector<std::uint32_t>(200 * 256 * 2, 300)};
    io::write_tokens(path, file);
}

void write_train_state(const io::Path& path) {
    using A = Autodiff<Reference>;
    Linear<A, 200, 150> model;
    model.initialize(1);
    io::save_train_state(path, io::TrainParts<A>{parameters(model)}, {{"step", "7"}});
}

std::string log_text() {
    std::string log;
    for (int step = 0; log.size() < 48'000; ++step) {
        log += text(R"({"step":)", step, R"(,"loss":0.5})", '\n');
    }
    return log + R"({"step":99999,"lo)";  // torn, so that continuing changes the file
}

const std::vector<Writer>& writers() {
    static const std::vector<Writer> all = {
        {"bytes", "old",
         [](const io::Path& path) {
             io::write_atomically(path, [](io::OutputFile& file) {
                 for (int i = 0; i < 30; ++i) {
                     file.write(std::string(7'000, 'n'));
                 }
             });
         }},
        {"safetensors", "old", [](const io::Path& path) { write_four(io::SafetensorsWriter(path, {{"step", "7"}})); }},
        {"PyTorch", "old", [](const io::Path& path) { write_four(io::TorchWriter(path)); }},
        {"NumPy", "old",
         [](const io::Path& path) { io::write_npy<float>(path, std::vector<float>(40'000, 0.5F), {200, 200}); }},
        {"NumPy archive", "old",
         [](const io::Path& path) {
             io::NpzWriter writer(path);
             writer.add<float>("a", std::vector<float>(40'000, 0.5F), {200, 200});
             writer.finish();
         }},
        {"training state", "old", write_train_state},
        {"tokens", "old", write_tokens},
        {"PNG", "old", [image = noise_image()](const io::Path& path) { io::write_png(path, image); }},
        {"JPEG", "old", [image = noise_image()](const io::Path& path) { io::write_jpeg(path, image, 100); }},
        {"log", log_text(),
         [](const io::Path& path) { static_cast<void>(program::JsonlWriter::resume(path, 1 << 20)); }},
    };
    return all;
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
        names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
}

/// Lets each writer replace a file while `arrange` (called in the child process, with the file's folder, which it may
/// mount over) makes that fail; the message must hold the file's name and `reason`.
template <class Arrange>
void check_failure(const char* fault, const std::string& reason, Arrange&& arrange, bool old_first = true) {
    for (const Writer& writer : writers()) {
        CAPTURE(fault);
        CAPTURE(writer.name);
        const TempDir folder;
        const fs::path path = folder / "target";
        if (old_first) {
            put_file(path, writer.old);
        }
        const std::string said = in_child([&]() -> std::string {
            arrange(folder.path());
            if (!old_first) {
                put_file(path, writer.old);
            }
            const std::string message = error_text([&] { writer.write(path); });
            // Inside the child: what it mounted ends with it.
            require(io::read_text(path) == writer.old, "the old file has changed");
            require(names_in(folder.path()) == std::vector<std::string>{"target"}, "a temporary file is left");
            return message;
        });
        if (said.starts_with("not permitted")) {
            MESSAGE("not run here: ", fault, ": ", said);
            return;
        }
        CHECK(said.starts_with(path.string() + ": "));
        CAPTURE(said);
        CHECK(contains(said, reason));
    }
}

}  // namespace

TEST_CASE("a full disk") {
    check_failure(
        "full disk", "cannot write: No space left on device",
        [](const fs::path& folder) { mount_tiny(folder, disk_bytes); }, false);
}

TEST_CASE("a limit on file sizes") {
    check_failure("file size limit", "cannot write: File too large",
                  [](const fs::path&) { limit_file_size(limit_bytes); });
}

TEST_CASE("a read-only folder") {
    check_failure("read-only mount", "cannot create a temporary file beside it: Read-only file system",
                  [](const fs::path& folder) { mount_read_only(folder); });
}

TEST_CASE("a disk that loses what it was given") {
    check_failure("fsync fails", "cannot flush to disk: Input/output error",
                  [](const fs::path&) { fail_calls({SYS_fsync}, EIO); });
}

TEST_CASE("a folder that takes no new name") {
    check_failure("rename fails", "cannot replace: Operation not permitted",
                  [](const fs::path&) { fail_calls(rename_calls(), EPERM); });
}

TEST_CASE("a file where a folder should be") {
    const TempDir folder;
    put_file(folder / "file", "kept");
    for (const Writer& writer : writers()) {
        CAPTURE(writer.name);
        const fs::path path = folder / "file/target";
        const std::string said = error_text([&] { writer.write(path); });
        CHECK(said.starts_with(path.string() + ": "));
        CHECK((contains(said, "Not a directory") || contains(said, "cannot be opened")));
        CHECK(io::read_text(folder / "file") == "kept");
    }
}

TEST_CASE("death at any system call leaves the old file or the new one, and the next write cleans up") {
    for (const Writer& writer : writers()) {
        CAPTURE(writer.name);
        const TempDir folder;
        const fs::path path = folder / "target";
        put_file(path, writer.old);
        writer.write(path);
        const std::string complete = io::read_text(path);
        REQUIRE(complete != writer.old);
        int kept = 0;
        int replaced = 0;
        int leftovers = 0;
        bool finished = false;
        for (std::size_t stop = 0; !finished; ++stop) {
            REQUIRE(stop < 5000);
            put_file(path, writer.old);
            fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
            try {
                finished = killed_at(stop, [&] { writer.write(path); }).finished;
            } catch (const NotPermitted& refused) {
                MESSAGE("not run here: death at any system call: ", refused.what());
                return;
            }
            const std::string found = io::read_text(path);
            REQUIRE((found == writer.old || found == complete));
            (found == complete ? replaced : kept) += 1;
            for (const std::string& name : names_in(folder.path())) {
                const bool temporary = name.starts_with(".flowfar-") && name.ends_with(".tmp");
                REQUIRE((name == "target" || temporary));
                const fs::perms others = fs::perms::group_all | fs::perms::others_all;
                REQUIRE((fs::status(folder / name).permissions() & others) == fs::perms::none);
                leftovers += temporary ? 1 : 0;
            }
            writer.write(path);
            REQUIRE(names_in(folder.path()) == std::vector<std::string>{"target"});
            REQUIRE(io::read_text(path) == complete);
        }
        CHECK(kept > 10);
        CHECK(replaced >= 1);
        if (Pool::keeps) {  // else an address sanitizer's own system calls shift what the counted ones see
            CHECK(replaced > 1);
            CHECK(leftovers > 5);
        }
    }
}

TEST_CASE("first the file, then its name, then the folder go to the disk") {
    for (const Writer& writer : writers()) {
        CAPTURE(writer.name);
        const TempDir folder;
        const fs::path path = folder / "target";
        put_file(path, writer.old);
        std::vector<long> calls;
        try {
            calls = killed_at(100'000, [&] { writer.write(path); }).calls;
        } catch (const NotPermitted& refused) {
            MESSAGE("not run here: order of system calls: ", refused.what());
            return;
        }
        std::string order;
        for (const long call : calls) {
            if (call == SYS_fsync) {
                order += "fsync ";
            } else if (std::ranges::count(rename_calls(), call) != 0) {
                order += "rename ";
            } else if (call == SYS_write && order.empty()) {
                order = "write ";
            }
        }
        CHECK(order == "write fsync rename fsync ");
    }
}
