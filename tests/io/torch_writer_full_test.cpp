/// A checkpoint larger than 4 GiB as this library writes it: sizes and offsets need ZIP64's 64-bit records.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <span>
#include <string>
#include <sys/mman.h>
#include <vector>

#include "flowfar/io/tensors/torch_checkpoint.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"

#include "io_support.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// Zeros that take no memory.
class Zeros {
   public:
    explicit Zeros(std::size_t size)
        : size_(size), data_(::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
        REQUIRE(data_ != MAP_FAILED);
    }
    Zeros(const Zeros&) = delete;
    Zeros& operator=(const Zeros&) = delete;
    ~Zeros() { ::munmap(data_, size_); }

    [[nodiscard]] std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

   private:
    std::size_t size_;
    void* data_;
};

}  // namespace

TEST_CASE("a tensor of more than 4 GiB, and one behind it") {
    const TempDir folder;
    const io::Path path = folder / "large.pth";
    if (std::filesystem::space(folder.path()).available < std::uintmax_t{5} << 30) {
        MESSAGE("NOT RUN: the folder for temporary files has less than 5 GiB");
        return;
    }
    const Zeros zeros((std::size_t{1} << 32) + 4096);
    const std::vector<float> numbers{1.5F, -2.0F, 3.0F};
    {
        io::TorchWriter writer(path);
        writer.declare("large", DType::u8, {static_cast<Index>(zeros.bytes().size())});
        writer.declare("small", DType::f32, {3});
        writer.write("large", zeros.bytes());
        writer.write_values<float>("small", numbers);
        writer.finish();
    }
    const io::TorchCheckpoint file(path);
    io::Scratch scratch;
    CHECK(file.info("large").size == zeros.bytes().size());
    CHECK(io::values<float>(file.at("small", scratch)) == numbers);
    CHECK(file.at("large", scratch).bytes.back() == std::byte{0});
    CHECK(error_text([&] { file.verify(); }) == "no error");

    const char* const python = std::getenv("FLOWFAR_TORCH_PYTHON");
    if (python == nullptr) {
        MESSAGE("NOT RUN: FLOWFAR_TORCH_PYTHON names no Python with PyTorch to read the file");
        return;
    }
    const std::string program =
        "import sys, torch; x = torch.load(sys.argv[1], weights_only=True, mmap=True); "
        "assert x['small'].tolist() == [1.5, -2.0, 3.0]; "
        "assert x['large'].numel() == 2**32 + 4096 and int(x['large'][-1]) == 0";
    CHECK(std::system(text(python, " -c \"", program, "\" ", path.string()).c_str()) == 0);
}
