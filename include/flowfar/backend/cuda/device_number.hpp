#pragma once

#include <utility>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/core/tensor.hpp"

namespace flowfar::cuda {

/// A number in device memory, f32: work that is recorded in a cuda::Graph reads it anew in every replay, where a double
/// would be frozen. Operations with it have the bits of those with the double. This header needs no CUDA headers.
class DeviceNumber {
   public:
    explicit DeviceNumber(double value = 0.0) : handle_(Cuda::full({}, DType::f32, value)) {}
    /// Element `position` of f32 elements [count]; it follows changes of them.
    DeviceNumber(const Handle& elements, Index position)
        : handle_(Cuda::reshape(Cuda::slice(elements, 0, position, position + 1), {})) {}

    /// Queues the new value.
    void set(double value) { Cuda::assign(handle_, Cuda::full({}, DType::f32, value)); }
    [[nodiscard]] const Handle& handle() const { return handle_; }

   private:
    Handle handle_;
};

template <AnyTensor X>
[[nodiscard]] X operator*(const X& x, const DeviceNumber& factor) {
    return X(Cuda::binary(BinaryOp::mul, x.handle(), factor.handle()));
}
/// a x + b; of bf16 elements in f32 and rounded once, as `affine` with doubles.
template <AnyTensor X>
[[nodiscard]] X affine(const X& x, const DeviceNumber& a, const DeviceNumber& b) {
    const Handle wide = Cuda::cast(x.handle(), DType::f32);
    const Handle sum = Cuda::binary(BinaryOp::add, Cuda::binary(BinaryOp::mul, wide, a.handle()), b.handle());
    return X(Cuda::cast(sum, Cuda::dtype(x.handle())));
}

}  // namespace flowfar::cuda
