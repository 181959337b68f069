#pragma once

// The tensors of a file of weights that a command works on.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "flowfar/io/tensors/weights.hpp"

#include "common/cli/printable.hpp"
#include "common/cli/tensor_listing.hpp"
#include "common/cli/text.hpp"

namespace flowfar::program {

/// The tensors to work on, by the names to show.
[[nodiscard]] inline io::Weights part_of(const io::WeightsFile& file, const std::string& root,
                                         io::WrapperTraces traces = io::WrapperTraces::removed) {
    io::Weights weights(file, root, traces);
    if (!root.empty() && weights.names().empty()) {
        std::set<std::string> roots;
        for (const std::string& name : file.names()) {
            roots.insert(name.substr(0, name.find('.')));
        }
        std::string known;
        for (const std::string& name : roots) {
            known += known.size() > 400 ? "" : (known.empty() ? "" : ", ") + printable(name);
        }
        fail(file.path().string(), ": no tensors below \"", root, "\"; names begin with ", known);
    }
    return weights;
}

/// The names in the file of the tensors below `root`.
[[nodiscard]] inline std::vector<std::string> selected_names(const io::WeightsFile& file, const std::string& root,
                                                             const std::string& filter = "") {
    const std::string prefix = root.empty() ? "" : root + '.';
    std::vector<std::string> names;
    for (const std::string& name : file.names()) {
        if (name.starts_with(prefix) && name.find(filter) != name.npos) {
            names.push_back(name);
        }
    }
    return names;
}

/// Throws `Error` if the tensors are far larger than the file. In PyTorch's files they may share and repeat elements,
/// so that a few kilobytes could fill a disk or take hours.
inline void require_in_proportion(const io::WeightsFile& file, const std::vector<std::string>& names) {
    if (file.torch() == nullptr) {
        return;
    }
    double total = 0;  // as loaded; a sum of integers could overflow
    for (const std::string& name : names) {
        const io::TensorInfo info = file.info(name);
        const io::ElementType& type = *file.torch()->tensor(name).type;
        total += static_cast<double>(io::element_count(info.shape, name)) *
                 static_cast<double>(type.dtype ? size_of(*type.dtype) : type.size);
    }
    const std::uint64_t size = std::filesystem::file_size(file.path());
    const std::uint64_t limit = 16 * size + (std::uint64_t{64} << 20);
    require(total <= static_cast<double>(limit), file.path().string(), ": refused: its tensors take ",
            format_bytes(static_cast<std::uint64_t>(std::min(total, 1e18))), ", but the file has ", format_bytes(size),
            "; the limit is ", format_bytes(limit), ", 16 times the file and 64 MiB");
}

/// Bytes of the tensors as stored.
[[nodiscard]] inline std::uint64_t stored_size(const io::WeightsFile& file, const std::vector<std::string>& names) {
    std::uint64_t total = 0;
    for (const std::string& name : names) {
        total += file.info(name).size;
    }
    return total;
}

}  // namespace flowfar::program
