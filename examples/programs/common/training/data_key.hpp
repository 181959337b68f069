#pragma once

// What tells sets of training images apart.

#include <cstdint>
#include <string>

#include "flowfar/core/philox.hpp"
#include "flowfar/io/data/dataset.hpp"

namespace flowfar::program {

/// "256 images, key 1234": how many, and a hash of their names.
[[nodiscard]] inline std::string data_key(const io::ImageDataset& data) {
    std::uint64_t names = 0;
    for (Index i = 0; i < data.size(); ++i) {
        names = fold(names, data.name(i));
    }
    return text(data.size(), " images, key ", names);
}

}  // namespace flowfar::program
