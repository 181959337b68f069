#pragma once

/// The finite set of elementwise operations: enumerations, names, dispatch, and which state a derivative needs.
/// The arithmetic is in functor.hpp.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "flowfar/core/error.hpp"

namespace flowfar {

/// Elementwise functions of one tensor. `a` and `b` are the scalars of `Unary`.
enum class UnaryOp : std::uint8_t {
    affine,         ///< a x + b
    exp,            ///< e^x
    log,            ///< natural logarithm
    sqrt,           ///< square root
    rsqrt,          ///< 1 / sqrt(x)
    square,         ///< x^2
    abs,            ///< |x|
    sin,            ///< sine, radians
    cos,            ///< cosine, radians
    tanh,           ///< hyperbolic tangent
    sigmoid,        ///< 1 / (1 + e^-x)
    silu,           ///< x sigmoid(x)
    gelu_tanh,      ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    gelu_erf,       ///< x/2 (1 + erf(x / sqrt 2))
    relu,           ///< max(x, 0)
    softplus,       ///< log(1 + e^x)
    clamp,          ///< x limited to [a, b]
    binarize,       ///< +1 where x > 0, else -1; straight-through derivative (Bengio et al. 2013)
    round,          ///< nearest integer, halves to even; straight-through derivative
    binary_entropy  ///< entropy in nats of a coin with P(heads) = sigmoid(x)
};

/// An elementwise function with its two scalars.
struct Unary {
    UnaryOp op;
    double a = 0;
    double b = 0;
};

/// Elementwise functions of two tensors. Comparisons give 0 or 1 and have derivative zero.
enum class BinaryOp : std::uint8_t { add, sub, mul, div, max, equal, less, greater };

[[nodiscard]] constexpr std::string_view name_of(UnaryOp op) {
    constexpr std::string_view names[] = {"affine",   "exp",   "log",       "sqrt",     "rsqrt",
                                          "square",   "abs",   "sin",       "cos",      "tanh",
                                          "sigmoid",  "silu",  "gelu_tanh", "gelu_erf", "relu",
                                          "softplus", "clamp", "binarize",  "round",    "binary_entropy"};
    const auto index = static_cast<std::size_t>(op);
    return index < std::size(names) ? names[index] : "?";
}

[[nodiscard]] constexpr std::string_view name_of(BinaryOp op) {
    constexpr std::string_view names[] = {"add", "sub", "mul", "div", "max", "equal", "less", "greater"};
    const auto index = static_cast<std::size_t>(op);
    return index < std::size(names) ? names[index] : "?";
}

/// Whether the derivative of `op` reads the operation's output. No derivative reads both; affine, binarize and round
/// read neither.
[[nodiscard]] constexpr bool backward_uses_output(UnaryOp op) {
    switch (op) {
        case UnaryOp::exp:
        case UnaryOp::sqrt:
        case UnaryOp::rsqrt:
        case UnaryOp::tanh:
        case UnaryOp::sigmoid:
        case UnaryOp::relu:
            return true;
        default:
            return false;
    }
}

/// Whether the derivative of `op` reads the operation's input.
[[nodiscard]] constexpr bool backward_uses_input(UnaryOp op) {
    const bool constant_slope = op == UnaryOp::affine || op == UnaryOp::binarize || op == UnaryOp::round;
    return !constant_slope && !backward_uses_output(op);
}

/// Calls `f.template operator()<Op>()` with the compile-time value of `op`. Throws `Error` for a value outside the
/// enum.
template <class F>
decltype(auto) visit_unary(UnaryOp op, F&& f) {
    switch (op) {
        case UnaryOp::affine:
            return f.template operator()<UnaryOp::affine>();
        case UnaryOp::exp:
            return f.template operator()<UnaryOp::exp>();
        case UnaryOp::log:
            return f.template operator()<UnaryOp::log>();
        case UnaryOp::sqrt:
            return f.template operator()<UnaryOp::sqrt>();
        case UnaryOp::rsqrt:
            return f.template operator()<UnaryOp::rsqrt>();
        case UnaryOp::square:
            return f.template operator()<UnaryOp::square>();
        case UnaryOp::abs:
            return f.template operator()<UnaryOp::abs>();
        case UnaryOp::sin:
            return f.template operator()<UnaryOp::sin>();
        case UnaryOp::cos:
            return f.template operator()<UnaryOp::cos>();
        case UnaryOp::tanh:
            return f.template operator()<UnaryOp::tanh>();
        case UnaryOp::sigmoid:
            return f.template operator()<UnaryOp::sigmoid>();
        case UnaryOp::silu:
            return f.template operator()<UnaryOp::silu>();
        case UnaryOp::gelu_tanh:
            return f.template operator()<UnaryOp::gelu_tanh>();
        case UnaryOp::gelu_erf:
            return f.template operator()<UnaryOp::gelu_erf>();
        case UnaryOp::relu:
            return f.template operator()<UnaryOp::relu>();
        case UnaryOp::softplus:
            return f.template operator()<UnaryOp::softplus>();
        case UnaryOp::clamp:
            return f.template operator()<UnaryOp::clamp>();
        case UnaryOp::binarize:
            return f.template operator()<UnaryOp::binarize>();
        case UnaryOp::round:
            return f.template operator()<UnaryOp::round>();
        case UnaryOp::binary_entropy:
            return f.template operator()<UnaryOp::binary_entropy>();
    }
    fail("unknown UnaryOp ", static_cast<int>(op));
}

/// Calls `f.template operator()<Op>()` with the compile-time value of `op`. Throws `Error` for a value outside the
/// enum.
template <class F>
decltype(auto) visit_binary(BinaryOp op, F&& f) {
    switch (op) {
        case BinaryOp::add:
            return f.template operator()<BinaryOp::add>();
        case BinaryOp::sub:
            return f.template operator()<BinaryOp::sub>();
        case BinaryOp::mul:
            return f.template operator()<BinaryOp::mul>();
        case BinaryOp::div:
            return f.template operator()<BinaryOp::div>();
        case BinaryOp::max:
            return f.template operator()<BinaryOp::max>();
        case BinaryOp::equal:
            return f.template operator()<BinaryOp::equal>();
        case BinaryOp::less:
            return f.template operator()<BinaryOp::less>();
        case BinaryOp::greater:
            return f.template operator()<BinaryOp::greater>();
    }
    fail("unknown BinaryOp ", static_cast<int>(op));
}

}  // namespace flowfar
