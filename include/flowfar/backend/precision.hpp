#pragma once

namespace flowfar {

/// What the thread's precision scopes ask of the matrix products, convolutions and attention that it starts.
struct ProductPrecision {
    bool rounded = false;    ///< f32 operands are rounded to bf16: Bf16Products
    bool quantized = false;  ///< operands of a product with a single right matrix become bytes: Int8Products

    /// This thread's.
    [[nodiscard]] static ProductPrecision& current() {
        thread_local ProductPrecision value;
        return value;
    }
};

/// While one lives, matrix products, convolutions and attention of f32 tensors that its thread starts, on `Cpu` or
/// `Cuda`, take their operands rounded to bf16 and add in f32; all other operations stay f32, and so do stored weights,
/// gradients and optimizer states. That is mixed precision as PyTorch's autocast does it: faster, with a relative error
/// near 2^-9 per product. On CPUs without such products (Cpu::has_bf16_products) it changes nothing.
///
///     const Bf16Products rounded;   // from here to the end of the block
///     const auto image = model.decode(tokens);
class Bf16Products {
   public:
    explicit Bf16Products(bool on = true) : before_(ProductPrecision::current().rounded) {
        ProductPrecision::current().rounded = on;
    }
    ~Bf16Products() { ProductPrecision::current().rounded = before_; }
    Bf16Products(const Bf16Products&) = delete;
    Bf16Products& operator=(const Bf16Products&) = delete;

   private:
    bool before_;
};

/// For inference with quantized weights: while one lives, products of f32 tensors with a single matrix on `Cpu` that
/// its thread starts take both operands as 8-bit integers, the matrix with a scale per output channel and the other
/// operand with one per row (Dettmers et al. 2022 without their outliers). Sums are exact; the relative error of a
/// product is near 1%. Weights are quantized when they are used for the second time, and kept so beside the f32 ones.
/// All other products behave as under Bf16Products. On CPUs without such products (Cpu::has_int8_products) it changes
/// nothing.
class Int8Products {
   public:
    explicit Int8Products(bool on = true) : before_(ProductPrecision::current().quantized) {
        ProductPrecision::current().quantized = on;
    }
    ~Int8Products() { ProductPrecision::current().quantized = before_; }
    Int8Products(const Int8Products&) = delete;
    Int8Products& operator=(const Int8Products&) = delete;

   private:
    bool before_;
};

}  // namespace flowfar
