/// One const file of weights, read by several threads at once, each with scratch of its own.

#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <string>
#include <vector>

#include "flowfar/io/tensors/npz.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "at_once.hpp"
#include "folders.hpp"

using namespace flowfar;
using flowfar::testing::at_once;

namespace {

const io::Path data = flowfar::testing::source_folder() / "tests" / "io" / "data" / "torch";

/// All tensors' bytes, one after another; element types that cannot be loaded are left out.
template <class File>
std::vector<std::byte> contents(const File& file) {
    std::vector<std::byte> out;
    io::Scratch scratch;
    for (const std::string& name : file.names()) {
        try {
            const io::TensorView view = file.at(name, scratch);
            out.insert(out.end(), view.bytes.begin(), view.bytes.end());
        } catch (const Error&) {
            out.push_back(std::byte{1});
        }
        if constexpr (requires { file.release(name); }) {
            file.release(name);  // while others read it
        }
    }
    return out;
}

template <class File>
void check(const char* name) {
    CAPTURE(name);
    const File file(data / name);
    const std::vector<std::byte> expected = contents(file);
    REQUIRE_FALSE(expected.empty());
    CHECK(at_once(4, 10, [&](int) { return contents(file) == expected; }) == std::vector<int>(4));
}

}  // namespace

TEST_CASE("several threads read one file") {
    for (const char* const name : {"types.pth", "types_legacy.pth", "views.pth", "checkpoint.pth"}) {
        check<io::WeightsFile>(name);
    }
    check<io::NpzFile>("arrays.npz");
    check<io::NpzFile>("arrays_compressed.npz");
}
