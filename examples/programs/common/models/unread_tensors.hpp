#pragma once

// Tensors of kinds that the library does not read, for those who must know that something is missing.

#include <cstddef>
#include <cstdio>
#include <string>

#include "flowfar/io/tensors/weights.hpp"

#include "common/cli/printable.hpp"

namespace flowfar::program {

/// Names the tensors that cannot be read; returns how many there are.
[[nodiscard]] inline std::size_t report_unread(const io::WeightsFile& file, const std::string& root,
                                               const std::string& filter = "") {
    const std::string prefix = root.empty() ? "" : root + '.';
    std::size_t count = 0;
    for (const auto& [name, reason] : file.unread()) {
        if (name.starts_with(prefix) && name.find(filter) != name.npos) {
            std::fprintf(stderr, "cannot be read: %s: %s\n", printable(name).c_str(), printable(reason).c_str());
            ++count;
        }
    }
    return count;
}

/// Names the tensors that a checkpoint does not even list, because they are of another kind; returns their number.
[[nodiscard]] inline std::size_t unlisted_tensors(const io::WeightsFile& file, const std::string& root,
                                                  const std::string& filter) {
    const std::string prefix = root.empty() ? "" : root + '.';
    std::size_t count = 0;
    for (const auto& [name, reason] : file.torch()->unread()) {
        if (name.starts_with(prefix) && name.find(filter) != name.npos) {
            std::printf("not checked: %s: %s\n", printable(name).c_str(), printable(reason).c_str());
            ++count;
        }
    }
    return count;
}

}  // namespace flowfar::program
