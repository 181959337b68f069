#pragma once

#include "flowfar/backend/cpu/runtime/instruction_set.hpp"
#include "flowfar/core/dtype.hpp"

namespace flowfar {

namespace cpu {

/// Whether products that this thread starts round f32 operands to bf16; Bf16Products sets it.
[[nodiscard]] inline bool& rounds_products() {
    thread_local bool value = false;
    return value;
}
/// Whether products with a single right matrix that this thread starts quantise their f32 operands; Int8Products sets
/// it.
[[nodiscard]] inline bool& quantises_products() {
    thread_local bool value = false;
    return value;
}
/// Whether a product or an attention whose first operand has this element type is computed from bf16 numbers.
[[nodiscard]] inline bool multiplies_bf16(DType dtype) {
    return has_avx512_bf16() && (dtype == DType::bf16 || (dtype == DType::f32 && rounds_products()));
}

}  // namespace cpu

/// While one lives, matrix products, convolutions and attention of f32 tensors that its thread starts, on `Cpu` or
/// `Cuda`, take their operands rounded to bf16 and add in f32; all other operations stay f32, and so do stored weights,
/// gradients and optimiser states. That is mixed precision as PyTorch's autocast does it: faster, with a relative error
/// near 2^-9 per product. On CPUs without such products it changes nothing: results are then those of f32.
class Bf16Products {
   public:
    explicit Bf16Products(bool on = true) : before_(cpu::rounds_products()) { cpu::rounds_products() = on; }
    ~Bf16Products() { cpu::rounds_products() = before_; }
    Bf16Products(const Bf16Products&) = delete;
    Bf16Products& operator=(const Bf16Products&) = delete;

    /// Whether this CPU has them.
    [[nodiscard]] static bool available() { return cpu::has_avx512_bf16(); }

   private:
    bool before_;
};

/// For inference with quantised weights: while one lives, products of f32 tensors with a single matrix on `Cpu` that
/// its thread starts take both operands as 8-bit integers, the matrix with a scale per output channel and the other
/// operand with one per row (Dettmers et al. 2022 without their outliers). Sums are exact; the relative error of a
/// product is near 1%. Weights are quantised when they are used for the second time, and kept so beside the f32 ones.
/// What is no such product follows Bf16Products. On CPUs without such products it changes nothing.
class Int8Products {
   public:
    explicit Int8Products(bool on = true) : before_(cpu::quantises_products()) { cpu::quantises_products() = on; }
    ~Int8Products() { cpu::quantises_products() = before_; }
    Int8Products(const Int8Products&) = delete;
    Int8Products& operator=(const Int8Products&) = delete;

    /// Whether this CPU has them.
    [[nodiscard]] static bool available() { return cpu::has_avx512_int8(); }

   private:
    bool before_;
};

}  // namespace flowfar
