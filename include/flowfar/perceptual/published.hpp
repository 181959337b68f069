#pragma once

#include <string_view>

namespace flowfar {

/// What a loader should know about the files that hold a network's published weights.
struct PublishedWeights {
    std::string_view where;         ///< file name and address, for people whose file does not fit
    std::string_view skipped = {};  ///< tensors that begin so belong to parts that the network does not have
    double norm_epsilon = 0.0;      ///< of batch norms that are to be folded; 0: there are none
};

}  // namespace flowfar
