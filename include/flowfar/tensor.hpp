#pragma once

/// Tensors with compile-time shapes, their operations, and `Reference`, a backend of plain loops that needs no other
/// library.
///
///     using Matrix = flowfar::Tensor<flowfar::Reference, flowfar::Shape<2, 3>>;
///     const auto x = Matrix::of({{1, 2, 3}, {4, 5, 6}});
///     const auto y = flowfar::matmul(x, flowfar::transpose(x));   // Shape<2, 2>; x·x would not compile
///     std::cout << y;

#include "flowfar/backend/reference.hpp"
#include "flowfar/core/derived/classes.hpp"
#include "flowfar/core/derived/compare.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/philox.hpp"
#include "flowfar/core/print.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/core/tensor.hpp"
#include "flowfar/version.hpp"
