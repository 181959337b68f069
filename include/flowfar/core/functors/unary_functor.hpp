#pragma once

/// The arithmetic of every elementwise operation of one tensor and of its derivative, written once for host and device.

#include <cmath>

#include "flowfar/config.hpp"
#include "flowfar/core/functors/elementwise_op.hpp"

namespace flowfar {

namespace detail {

/// 1 / (1 + e^-x). e^-x may overflow to infinity, which gives the right limit 0.
template <class T>
FLOWFAR_HD inline T logistic(T x) {
    return T(1) / (T(1) + std::exp(-x));
}

/// sigmoid(x) sigmoid(-x), the derivative of the sigmoid, without cancellation: e / (1 + e)^2 with e = e^-|x|.
template <class T>
FLOWFAR_HD inline T logistic_slope(T x) {
    const T e = std::exp(-std::fabs(x));
    return e / ((T(1) + e) * (T(1) + e));
}

/// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|): the exponential never overflows.
template <class T>
FLOWFAR_HD inline T log_one_plus_exp(T x) {
    return (x > T(0) ? x : T(0)) + std::log1p(std::exp(-std::fabs(x)));
}

/// a b + c, rounded once. Compilers for devices choose kernel by kernel whether they fuse; where two kernels promise
/// the same bits, this or `rounded_product` says it.
template <class T>
FLOWFAR_HD inline T fused_product(T a, T b, T c) {
    return std::fma(a, b, c);
}
/// a b, rounded before anything is added to it: device code would otherwise fuse both.
template <class T>
FLOWFAR_HD inline T rounded_product(T a, T b) {
#if defined(__CUDA_ARCH__)
    if constexpr (sizeof(T) == sizeof(float)) {
        return __fmul_rn(a, b);
    } else {
        return __dmul_rn(a, b);
    }
#else
    return a * b;
#endif
}

inline constexpr double gelu_cubic = 0.044715;
inline constexpr double two_sqrt_two_over_pi = 1.5957691216057307117;  // 2 sqrt(2 / pi)
inline constexpr double inverse_sqrt_two = 0.70710678118654752440;
inline constexpr double inverse_sqrt_two_pi = 0.39894228040143267794;

}  // namespace detail

/// `forward(x, a, b)` gives y; `backward(x, y, g, a, b)` gives dL/dx from input x, output y and cotangent g = dL/dy.
/// backward reads x only if `backward_uses_input(op)` and y only if `backward_uses_output(op)`; pass anything else.
template <UnaryOp Op>
struct UnaryFunctor;

template <>
struct UnaryFunctor<UnaryOp::affine> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T a, T b) {
        return detail::rounded_product(a, x) + b;
    }
    /// d(ax + b) = a
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T /*y*/, T g, T a, T /*b*/) {
        return g * a;
    }
};

template <>
struct UnaryFunctor<UnaryOp::exp> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return std::exp(x);
    }
    /// d e^x = e^x = y
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T y, T g, T /*a*/, T /*b*/) {
        return g * y;
    }
};

template <>
struct UnaryFunctor<UnaryOp::log> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return std::log(x);
    }
    /// d log x = 1 / x
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        return g / x;
    }
};

template <>
struct UnaryFunctor<UnaryOp::sqrt> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return std::sqrt(x);
    }
    /// d sqrt x = 1 / (2 y)
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T y, T g, T /*a*/, T /*b*/) {
        return g / (T(2) * y);
    }
};

template <>
struct UnaryFunctor<UnaryOp::rsqrt> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return T(1) / std::sqrt(x);
    }
    /// d x^(-1/2) = -x^(-3/2) / 2 = -y^3 / 2
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T y, T g, T /*a*/, T /*b*/) {
        return g * T(-0.5) * y * y * y;
    }
};

template <>
struct UnaryFunctor<UnaryOp::square> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return x * x;
    }
    /// d x^2 = 2 x
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        return g * T(2) * x;
    }
};

template <>
struct UnaryFunctor<UnaryOp::abs> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return std::fabs(x);
    }
    /// d|x| = sign(x), 0 at x = 0
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        return x > T(0) ? g : (x < T(0) ? -g : T(0));
    }
};

template <>
struct UnaryFunctor<UnaryOp::sin> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return std::sin(x);
    }
    /// d sin x = cos x
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        return g * std::cos(x);
    }
};

template <>
struct UnaryFunctor<UnaryOp::cos> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return std::cos(x);
    }
    /// d cos x = -sin x
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        return -g * std::sin(x);
    }
};

template <>
struct UnaryFunctor<UnaryOp::tanh> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return std::tanh(x);
    }
    /// d tanh x = 1 - y^2
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T y, T g, T /*a*/, T /*b*/) {
        return g * (T(1) - y) * (T(1) + y);
    }
};

template <>
struct UnaryFunctor<UnaryOp::sigmoid> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return detail::logistic(x);
    }
    /// d s(x) = s(x) s(-x) = y (1 - y)
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T y, T g, T /*a*/, T /*b*/) {
        return g * y * (T(1) - y);
    }
};

template <>
struct UnaryFunctor<UnaryOp::silu> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return x * detail::logistic(x);
    }
    /// d(x s(x)) = s(x) + x s(x) s(-x)
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        return g * (detail::logistic(x) + x * detail::logistic_slope(x));
    }
};

template <>
struct UnaryFunctor<UnaryOp::gelu_tanh> {
    /// (1 + tanh(u)) / 2 = sigmoid(2u), which keeps its digits for negative x
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return x * detail::logistic(twice_argument(x));
    }
    /// v = 2 sqrt(2/pi) (x + c x^3): d(x s(v)) = s(v) + x s(v) s(-v) v',  v' = 2 sqrt(2/pi) (1 + 3 c x^2)
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        const T v = twice_argument(x);
        const T slope = T(detail::two_sqrt_two_over_pi) * (T(1) + T(3 * detail::gelu_cubic) * x * x);
        return g * (detail::logistic(v) + x * detail::logistic_slope(v) * slope);
    }

   private:
    template <class T>
    FLOWFAR_HD static T twice_argument(T x) {
        return T(detail::two_sqrt_two_over_pi) * x * (T(1) + T(detail::gelu_cubic) * x * x);
    }
};

template <>
struct UnaryFunctor<UnaryOp::gelu_erf> {
    /// 1 + erf(z) = erfc(-z), which keeps its digits for negative x
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return T(0.5) * x * std::erfc(T(-detail::inverse_sqrt_two) * x);
    }
    /// d(x F(x)) = F(x) + x f(x) with the normal distribution F = erfc(-x / sqrt 2) / 2 and density f
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        const T density = T(detail::inverse_sqrt_two_pi) * std::exp(T(-0.5) * x * x);
        return g * (T(0.5) * std::erfc(T(-detail::inverse_sqrt_two) * x) + x * density);
    }
};

template <>
struct UnaryFunctor<UnaryOp::relu> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return x <= T(0) ? T(0) : x;  // this way round NaN survives
    }
    /// d max(x, 0) = [y > 0]
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T y, T g, T /*a*/, T /*b*/) {
        return y > T(0) ? g : T(0);
    }
};

template <>
struct UnaryFunctor<UnaryOp::softplus> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return detail::log_one_plus_exp(x);
    }
    /// d log(1 + e^x) = sigmoid(x)
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        return g * detail::logistic(x);
    }
};

template <>
struct UnaryFunctor<UnaryOp::clamp> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T a, T b) {
        return x < a ? a : (x > b ? b : x);
    }
    /// 1 inside the closed interval, 0 outside
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T a, T b) {
        return x >= a && x <= b ? g : T(0);
    }
};

template <>
struct UnaryFunctor<UnaryOp::binarize> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return x > T(0) ? T(1) : T(-1);
    }
    /// the true derivative is zero almost everywhere; the straight-through estimator pretends it is 1
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T /*y*/, T g, T /*a*/, T /*b*/) {
        return g;
    }
};

template <>
struct UnaryFunctor<UnaryOp::round> {
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        return std::nearbyint(x);
    }
    /// straight-through, as binarize
    template <class T>
    FLOWFAR_HD static T backward(T /*x*/, T /*y*/, T g, T /*a*/, T /*b*/) {
        return g;
    }
};

template <>
struct UnaryFunctor<UnaryOp::binary_entropy> {
    /// H = -p log p - q log q with p = s(x), q = s(-x); in z = |x| it reads log(1 + e^-z) + z s(-z)
    template <class T>
    FLOWFAR_HD static T forward(T x, T /*a*/, T /*b*/) {
        const T z = std::fabs(x);
        return detail::log_one_plus_exp(-z) + z * detail::logistic(-z);
    }
    /// dH = -x s(x) s(-x)
    template <class T>
    FLOWFAR_HD static T backward(T x, T /*y*/, T g, T /*a*/, T /*b*/) {
        return -g * x * detail::logistic_slope(x);
    }
};

}  // namespace flowfar
