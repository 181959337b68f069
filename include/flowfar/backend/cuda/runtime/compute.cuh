#pragma once

/// The type that arithmetic on elements uses.

#include <type_traits>

#include "flowfar/core/dtype.hpp"

namespace flowfar::cuda {

/// bf16 is computed in f32.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

}  // namespace flowfar::cuda
