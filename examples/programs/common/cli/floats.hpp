#pragma once

// Between floats in host memory and tensors of any backend and element type.

#include <vector>

#include "flowfar/core/tensor.hpp"

namespace flowfar::program {

template <AnyTensor X>
[[nodiscard]] X from_floats(const std::vector<float>& values, const Extents& extents) {
    using B = typename X::Backend;
    const auto wide = Tensor<B, typename X::Shape, float>::from_host(values, extents);
    return X(B::cast(wide.handle(), dtype_of<typename X::Element>));
}
template <AnyTensor X>
[[nodiscard]] std::vector<float> to_floats(const X& x) {
    using B = typename X::Backend;
    return Tensor<B, typename X::Shape, float>(B::cast(x.handle(), DType::f32)).to_host();
}

}  // namespace flowfar::program
