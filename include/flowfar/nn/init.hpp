#pragma once

#include <cmath>
#include <vector>

#include "flowfar/core/philox.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar::init {

namespace detail {

/// Puts values, broadcast, into a parameter's storage, which is made if it has none.
template <AnyTensor P>
void fill(P& parameter, const typename Plain<typename P::Backend>::Handle& values) {
    using B = typename P::Backend;
    Plain<B>::assign(ParameterRef<B>{"", &parameter.handle()}.value(), values);
}

}  // namespace detail

/// Fills a parameter with one value.
template <AnyTensor P>
void constant(P& parameter, double value) {
    detail::fill(parameter, Plain<typename P::Backend>::full({}, dtype_of<typename P::Element>, value));
}

/// Fills a parameter with U(−bound, bound).
template <AnyTensor P>
void uniform(P& parameter, double bound, std::uint64_t seed) {
    using Pl = Plain<typename P::Backend>;
    const auto u = Pl::uniform(parameter.extents(), dtype_of<typename P::Element>, seed, 0);
    detail::fill(parameter, Pl::unary({UnaryOp::affine, 2.0 * bound, -bound}, u));
}

/// Fills a parameter with N(0, deviation²).
template <AnyTensor P>
void normal(P& parameter, double deviation, std::uint64_t seed) {
    using Pl = Plain<typename P::Backend>;
    const auto n = Pl::normal(parameter.extents(), dtype_of<typename P::Element>, seed, 0);
    detail::fill(parameter, Pl::unary({UnaryOp::affine, deviation, 0.0}, n));
}

/// Fills a parameter with N(0, deviation²), cut at two deviations: draws beyond them are repeated.
template <AnyTensor P>
void truncated_normal(P& parameter, double deviation, std::uint64_t seed) {
    using T = typename P::Element;
    Random random(seed);
    std::vector<T> values(static_cast<std::size_t>(parameter.extents().count()));
    for (T& value : values) {
        double draw = random.normal();
        while (std::abs(draw) > 2.0) {
            draw = random.normal();
        }
        value = static_cast<T>(static_cast<float>(deviation * draw));
    }
    detail::fill(parameter, Plain<typename P::Backend>::from_host(values.data(), parameter.extents(), dtype_of<T>));
}
/// A linear layer with such a weight and bias 0.
template <class Layer>
void truncated_normal_linear(Layer& layer, double deviation, std::uint64_t seed) {
    truncated_normal(layer.weight, deviation, seed);
    constant(layer.bias, 0.0);
}

/// Xavier uniform (Glorot & Bengio 2010): U(±sqrt(6 / (fan_in + fan_out))) for a weight [out, in].
template <AnyTensor P>
void xavier_uniform(P& weight, std::uint64_t seed) {
    const auto fan = static_cast<double>(weight.extent(0) + weight.extent(1));
    uniform(weight, std::sqrt(6.0 / fan), seed);
}

/// A linear layer with xavier uniform weight and bias 0.
template <class Layer>
void xavier_linear(Layer& layer, std::uint64_t seed) {
    xavier_uniform(layer.weight, seed);
    constant(layer.bias, 0.0);
}

/// A linear layer of zeros: what it modulates or adds starts out absent.
template <class Layer>
void zero_linear(Layer& layer) {
    constant(layer.weight, 0.0);
    constant(layer.bias, 0.0);
}

}  // namespace flowfar::init
