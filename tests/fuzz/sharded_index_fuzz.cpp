// The index of a model in several files. It names other files, so it lies in a folder, beside two small shards.

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/sharded_safetensors.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

namespace {

/// A folder in memory where the system has one; removed at the end.
struct Folder {
    std::string path =
        std::filesystem::is_directory("/dev/shm") ? "/dev/shm/flowfar-fuzz-XXXXXX" : "/tmp/flowfar-fuzz-XXXXXX";
    Folder() {
        expect(::mkdtemp(path.data()) != nullptr, "a folder for the shards");
        for (const char* name : {"a", "b"}) {
            io::SafetensorsWriter writer(text(path, '/', name, ".safetensors"));
            writer.declare(text(name, ".weight"), DType::f32, {2});
            writer.write(text(name, ".weight"), std::vector<std::byte>(8));
            writer.finish();
        }
    }
    ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

void run(Bytes bytes) {
    static const Folder folder;
    const std::string path = folder.path + "/index.json";
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    expect(file >= 0 && ::write(file, bytes.data(), bytes.size()) == static_cast<::ssize_t>(bytes.size()),
           "the index written");
    ::close(file);
    only_errors(
        [&] {
            const io::ShardedSafetensors model(path);
            for (const std::string& name : model.names()) {
                touch(model.at(name).bytes);
            }
        },
        folder.path);
}

}  // namespace flowfar::fuzz
