#pragma once

/// What a PyTorch checkpoint says about a tensor.

#include <string>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/io/tensors/element_type.hpp"

namespace flowfar::io {

/// A tensor as the pickle describes it; nothing is known yet about its bytes.
struct TorchTensor {
    const ElementType* type = nullptr;
    std::vector<Index> shape;
    std::vector<Index> strides;  ///< in elements
    Index offset = 0;            ///< in elements, from the beginning of the storage
    std::string storage;         ///< its key; tensors of the same storage share their bytes
    std::string device;          ///< where the tensor was, as in "cuda:0"
};

}  // namespace flowfar::io
