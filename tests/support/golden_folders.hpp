#pragma once

// Where recorded results of the reference implementations are looked for.

#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include "folders.hpp"

namespace flowfar::testing {

/// tests/golden, and the folder with the full set if there is one: $FLOWFAR_GOLDEN_DIR, by default shared/golden beside
/// the source tree.
[[nodiscard]] inline std::vector<std::filesystem::path> golden_folders() {
    const std::filesystem::path source = source_folder();
    const char* const set = std::getenv("FLOWFAR_GOLDEN_DIR");
    std::vector<std::filesystem::path> folders{source / "tests" / "golden"};
    std::filesystem::path full = set != nullptr ? std::filesystem::path(set) : source / ".." / "shared" / "golden";
    if (std::filesystem::is_directory(full)) {
        folders.push_back(std::move(full));
    }
    return folders;
}

}  // namespace flowfar::testing
