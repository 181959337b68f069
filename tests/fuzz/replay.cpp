// Runs a fuzz target without libFuzzer, for every compiler: over each file of the given folders and over simple damage
// to it (cuts and flipped bits at places that are the same on each run).

#include <algorithm>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz_target.hpp"

namespace {

namespace fs = std::filesystem;

std::vector<char> read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Runs on a copy of exactly that size, so that reads beyond the end are seen.
void run(const std::vector<char>& bytes, std::size_t size) {
    const std::vector<char> copy(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    flowfar::fuzz::run(std::as_bytes(std::span(copy)));
}

std::size_t replay(const fs::path& path) {
    constexpr std::size_t places = 24;
    std::vector<char> bytes = read(path);
    run(bytes, bytes.size());
    std::size_t runs = 1;
    const std::size_t step = std::max<std::size_t>(1, bytes.size() / places);
    for (std::size_t at = 0; at < bytes.size(); at += step, runs += 2) {
        run(bytes, at);
        const char before = bytes[at];
        bytes[at] = static_cast<char>(before ^ (1 << (runs % 8)));
        run(bytes, bytes.size());
        bytes[at] = before;
    }
    return runs;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<fs::path> files;
    for (int i = 1; i < argc; ++i) {
        for (const auto& entry : fs::directory_iterator(argv[i])) {
            if (entry.is_regular_file()) {
                files.push_back(entry.path());
            }
        }
    }
    std::sort(files.begin(), files.end());
    std::size_t runs = 0;
    for (const fs::path& file : files) {
        try {
            runs += replay(file);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s: %s\n", file.c_str(), error.what());
            return 1;
        }
    }
    std::printf("%zu files, %zu runs\n", files.size(), runs);
    return files.empty() ? 1 : 0;
}
