#pragma once

#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// The typed operations: each asserts what can be known at compile time, forwards to the backend, and wraps.

namespace detail {

template <AnyTensor X>
[[nodiscard]] X apply(Unary op, const X& x) {
    return X(X::Backend::unary(op, x.handle()));
}

template <AnyTensor A, AnyTensor B>
[[nodiscard]] auto apply(BinaryOp op, const A& a, const B& b) {
    static_assert(std::is_same_v<typename A::Backend, typename B::Backend>,
                  "elementwise: the operands live on different backends");
    static_assert(std::is_same_v<typename A::Element, typename B::Element>,
                  "elementwise: the operands have different element types; cast one of them");
    static_assert(shape_algebra::can_broadcast<typename A::Shape, typename B::Shape>(),
                  "elementwise: the shapes do not broadcast");
    if constexpr (std::is_same_v<typename A::Backend, typename B::Backend> &&
                  shape_algebra::can_broadcast<typename A::Shape, typename B::Shape>()) {
        using S = ShapeOf<shape_algebra::broadcast<typename A::Shape, typename B::Shape>()>;
        return WithShape<A, S>(A::Backend::binary(op, a.handle(), b.handle()));
    } else {
        return a;
    }
}

template <AnyTensor X, AnyTensor F, AnyTensor A>
[[nodiscard]] auto multiply_add(const X& x, const F& factor, const A& addend, FactorKind kind) {
    static_assert(std::is_same_v<typename X::Backend, typename F::Backend> &&
                      std::is_same_v<typename X::Backend, typename A::Backend>,
                  "multiply_add: the operands live on different backends");
    static_assert(std::is_same_v<typename X::Element, typename F::Element> &&
                      std::is_same_v<typename X::Element, typename A::Element>,
                  "multiply_add: the operands have different element types; cast one of them");
    constexpr auto product = shape_algebra::broadcast<typename X::Shape, typename F::Shape>();
    using S = ShapeOf<shape_algebra::broadcast<ShapeOf<product>, typename A::Shape>()>;
    return WithShape<X, S>(X::Backend::multiply_add(x.handle(), factor.handle(), addend.handle(), kind));
}

}  // namespace detail

// clang-format off
/// Elementwise functions of one tensor; each keeps the shape. core/functor.hpp has the formulas and derivatives.
template <AnyTensor X> [[nodiscard]] X affine(const X& x, double a, double b) { return detail::apply({UnaryOp::affine, a, b}, x); }
template <AnyTensor X> [[nodiscard]] X exp(const X& x) { return detail::apply({UnaryOp::exp}, x); }
template <AnyTensor X> [[nodiscard]] X log(const X& x) { return detail::apply({UnaryOp::log}, x); }
template <AnyTensor X> [[nodiscard]] X sqrt(const X& x) { return detail::apply({UnaryOp::sqrt}, x); }
template <AnyTensor X> [[nodiscard]] X rsqrt(const X& x) { return detail::apply({UnaryOp::rsqrt}, x); }
template <AnyTensor X> [[nodiscard]] X square(const X& x) { return detail::apply({UnaryOp::square}, x); }
template <AnyTensor X> [[nodiscard]] X abs(const X& x) { return detail::apply({UnaryOp::abs}, x); }
template <AnyTensor X> [[nodiscard]] X sin(const X& x) { return detail::apply({UnaryOp::sin}, x); }
template <AnyTensor X> [[nodiscard]] X cos(const X& x) { return detail::apply({UnaryOp::cos}, x); }
template <AnyTensor X> [[nodiscard]] X tanh(const X& x) { return detail::apply({UnaryOp::tanh}, x); }
template <AnyTensor X> [[nodiscard]] X sigmoid(const X& x) { return detail::apply({UnaryOp::sigmoid}, x); }
template <AnyTensor X> [[nodiscard]] X silu(const X& x) { return detail::apply({UnaryOp::silu}, x); }
template <AnyTensor X> [[nodiscard]] X gelu_tanh(const X& x) { return detail::apply({UnaryOp::gelu_tanh}, x); }
template <AnyTensor X> [[nodiscard]] X gelu_erf(const X& x) { return detail::apply({UnaryOp::gelu_erf}, x); }
template <AnyTensor X> [[nodiscard]] X relu(const X& x) { return detail::apply({UnaryOp::relu}, x); }
template <AnyTensor X> [[nodiscard]] X softplus(const X& x) { return detail::apply({UnaryOp::softplus}, x); }
template <AnyTensor X> [[nodiscard]] X clamp(const X& x, double low, double high) { return detail::apply({UnaryOp::clamp, low, high}, x); }
/// +1 where x > 0, else -1; its gradient is the identity (straight-through).
template <AnyTensor X> [[nodiscard]] X binarize(const X& x) { return detail::apply({UnaryOp::binarize}, x); }
/// Entropy in nats of a coin with log-odds x.
template <AnyTensor X> [[nodiscard]] X binary_entropy(const X& x) { return detail::apply({UnaryOp::binary_entropy}, x); }

template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator+(const A& a, const B& b) { return detail::apply(BinaryOp::add, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator-(const A& a, const B& b) { return detail::apply(BinaryOp::sub, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator*(const A& a, const B& b) { return detail::apply(BinaryOp::mul, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator/(const A& a, const B& b) { return detail::apply(BinaryOp::div, a, b); }
template <AnyTensor X> [[nodiscard]] X operator+(const X& x, double c) { return affine(x, 1.0, c); }
template <AnyTensor X> [[nodiscard]] X operator+(double c, const X& x) { return affine(x, 1.0, c); }
template <AnyTensor X> [[nodiscard]] X operator-(const X& x, double c) { return affine(x, 1.0, -c); }
template <AnyTensor X> [[nodiscard]] X operator-(double c, const X& x) { return affine(x, -1.0, c); }
template <AnyTensor X> [[nodiscard]] X operator*(const X& x, double c) { return affine(x, c, 0.0); }
template <AnyTensor X> [[nodiscard]] X operator*(double c, const X& x) { return affine(x, c, 0.0); }
template <AnyTensor X> [[nodiscard]] X operator/(const X& x, double c) { return affine(x, 1.0 / c, 0.0); }
template <AnyTensor X> [[nodiscard]] X operator-(const X& x) { return affine(x, -1.0, 0.0); }
// clang-format on

/// Sum, mean and sum of squares over all elements.
template <AnyTensor X>
[[nodiscard]] auto sum(const X& x) {
    return WithShape<X, Shape<>>(
        X::Backend::reduce(ReduceOp::sum, x.handle(), Axes::all(X::Shape::rank), ReducedAxes::drop));
}
template <AnyTensor X>
[[nodiscard]] auto mean(const X& x) {
    return WithShape<X, Shape<>>(
        X::Backend::reduce(ReduceOp::mean, x.handle(), Axes::all(X::Shape::rank), ReducedAxes::drop));
}
template <AnyTensor X>
[[nodiscard]] auto sum_squares(const X& x) {
    return WithShape<X, Shape<>>(
        X::Backend::reduce(ReduceOp::sum_squares, x.handle(), Axes::all(X::Shape::rank), ReducedAxes::drop));
}

/// Reduction over one axis, which stays with extent 1.
template <int Axis, AnyTensor X>
[[nodiscard]] auto reduce_axis(ReduceOp op, const X& x) {
    static_assert(Axis >= -X::Shape::rank && Axis < X::Shape::rank, "reduce: the tensor has no such axis");
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank : Axis;
    using S = ShapeOf<shape_algebra::replace<typename X::Shape, axis, 1>()>;
    return WithShape<X, S>(X::Backend::reduce(op, x.handle(), Axes::only(axis), ReducedAxes::keep));
}
template <int Axis, AnyTensor X>
[[nodiscard]] auto sum(const X& x) {
    return reduce_axis<Axis>(ReduceOp::sum, x);
}
template <int Axis, AnyTensor X>
[[nodiscard]] auto mean(const X& x) {
    return reduce_axis<Axis>(ReduceOp::mean, x);
}

/// Softmax over the last axis.
template <AnyTensor X>
[[nodiscard]] X softmax(const X& x) {
    return X(X::Backend::softmax(x.handle()));
}
template <AnyTensor X>
[[nodiscard]] X log_softmax(const X& x) {
    return X(X::Backend::log_softmax(x.handle()));
}

/// alpha · a b: a [batch…, M, K], b [batch…, K, N] or [K, N] → [batch…, M, N].
template <AnyTensor A, AnyTensor B>
[[nodiscard]] auto matmul(const A& a, const B& b, double alpha = 1.0) {
    static_assert(std::is_same_v<typename A::Backend, typename B::Backend>,
                  "matmul: the operands live on different backends");
    static_assert(A::Shape::rank >= 2 && (B::Shape::rank == 2 || B::Shape::rank == A::Shape::rank),
                  "matmul: b is a matrix or has the rank of a");
    constexpr Index inner = A::Shape::at(-1);
    constexpr Index rows = B::Shape::at(-2);
    static_assert(inner == dyn || rows == dyn || inner == rows,
                  "matmul: the last extent of a must equal the second last of b");
    using S = ShapeOf<shape_algebra::replace<typename A::Shape, -1, B::Shape::at(-1)>()>;
    return WithShape<A, S>(A::Backend::gemm(a.handle(), b.handle(), {}, {.alpha = alpha}));
}

/// A tensor like X that only `linear` reads, as its input: made by functions that end in `_packed`. The backend may
/// keep it in the form that its products read; the result of `linear` is the same to the last bit.
template <AnyTensor X>
class PackedInput {
   public:
    /// What the backend is told about an operation that gives one, or about a product that reads one.
    static constexpr bool packed =
        std::is_same_v<typename X::Element, float> && packs_linear_inputs<typename X::Backend>;

    explicit PackedInput(typename X::Backend::Handle handle) : handle_(std::move(handle)) {}
    [[nodiscard]] const typename X::Backend::Handle& handle() const { return handle_; }

   private:
    typename X::Backend::Handle handle_;
};

namespace detail {

template <class X>
struct LinearOperand {};
template <AnyTensor X>
struct LinearOperand<X> {
    using Tensor = X;
    static constexpr bool packed = false;
};
template <AnyTensor X>
struct LinearOperand<PackedInput<X>> {
    using Tensor = X;
    static constexpr bool packed = PackedInput<X>::packed;
};

}  // namespace detail

/// What linear layers read: a tensor or a PackedInput.
template <class X>
concept AnyLinearInput = requires { typename detail::LinearOperand<X>::Tensor; };

namespace detail {

/// The type of a linear layer's result; asserts that its operands fit.
template <AnyLinearInput X, AnyTensor W, AnyTensor V>
[[nodiscard]] consteval auto linear_result() {
    using T = typename LinearOperand<X>::Tensor;
    static_assert(same_backend<T, W, V>, "linear: input, weight and bias live on different backends");
    static_assert(T::Shape::rank >= 2 && W::Shape::rank == 2 && V::Shape::rank == 1,
                  "linear: the input is […, rows, in], the weight [out, in], the bias [out]");
    constexpr Index in = T::Shape::at(-1);
    constexpr Index width = W::Shape::at(1);
    static_assert(in == dyn || width == dyn || in == width,
                  "linear: the last extent of the input must equal the weight's second");
    static_assert(compatible(V::Shape::at(0), W::Shape::at(0)), "linear: one bias per row of the weight");
    using S = ShapeOf<shape_algebra::replace<typename T::Shape, -1, W::Shape::at(0)>()>;
    return std::type_identity<WithShape<T, S>>{};
}
template <AnyLinearInput X, AnyTensor W, AnyTensor V>
using LinearResult = typename decltype(linear_result<X, W, V>())::type;

}  // namespace detail

/// act(x Wᵀ + bias): x […, In], a tensor or a PackedInput, W [Out, In], bias [Out] or absent → […, Out].
template <AnyLinearInput X, AnyTensor W, AnyTensor V>
[[nodiscard]] auto linear(const X& x, const W& weight, const V& bias, Activation activation = Activation::none) {
    using B = typename W::Backend;
    return detail::LinearResult<X, W, V>(
        B::gemm(x.handle(), B::permute(weight.handle(), {1, 0}), bias.handle(),
                {.activation = activation, .packed_input = detail::LinearOperand<X>::packed}));
}
/// `linear` as the input of another linear layer.
template <AnyLinearInput X, AnyTensor W, AnyTensor V>
[[nodiscard]] auto linear_packed(const X& x, const W& weight, const V& bias, Activation activation = Activation::none) {
    using B = typename W::Backend;
    using Y = PackedInput<detail::LinearResult<X, W, V>>;
    return Y(B::gemm(
        x.handle(), B::permute(weight.handle(), {1, 0}), bias.handle(),
        {.activation = activation, .pack_result = Y::packed, .packed_input = detail::LinearOperand<X>::packed}));
}
/// residual + gate ∘ (x Wᵀ + bias) in one pass: gate absent (1), [Out] or, for x [batch, …, In], [batch, Out].
template <AnyTensor R, AnyTensor G, AnyLinearInput X, AnyTensor W, AnyTensor V>
[[nodiscard]] auto linear_add(const R& residual, const G& gate, const X& x, const W& weight, const V& bias) {
    using B = typename W::Backend;
    using Y = detail::LinearResult<X, W, V>;
    static_assert(same_backend<R, G, W>, "linear_add: the operands live on different backends");
    static_assert(compatible_shapes<typename R::Shape, typename Y::Shape>(),
                  "linear_add: the residual must have the shape of the result");
    static_assert(G::Shape::rank <= 2 && compatible(G::Shape::at(-1), Y::Shape::at(-1)),
                  "linear_add: the gate must be as wide as the result");
    return Y(B::gemm_add(residual.handle(), gate.handle(), x.handle(), B::permute(weight.handle(), {1, 0}),
                         bias.handle(), {.packed_input = detail::LinearOperand<X>::packed}));
}

/// (x − mean) / sqrt(var + ε) over the last axis (Ba et al. 2016), without gain and bias.
template <AnyTensor X>
[[nodiscard]] X layer_norm(const X& x, double epsilon = 1e-6) {
    return X(X::Backend::layer_norm(x.handle(), {}, {}, {.epsilon = epsilon}));
}
/// Layer norm times scale plus shift; both [C] or, for x [batch, …, C], [batch, C]. `plus_one` scales by 1 + scale.
template <AnyTensor X, AnyTensor G>
[[nodiscard]] X layer_norm(const X& x, const G& scale, const G& shift, NormOptions options = {}) {
    static_assert(same_backend<X, G>, "layer_norm: the operands live on different backends");
    static_assert(compatible(X::Shape::at(-1), G::Shape::at(-1)),
                  "layer_norm: scale and shift must be as wide as the input");
    return X(X::Backend::layer_norm(x.handle(), scale.handle(), shift.handle(), options));
}
/// Both as the input of a linear layer; scale and shift may be absent.
template <AnyTensor X>
[[nodiscard]] auto layer_norm_packed(const X& x) {
    return PackedInput<X>(X::Backend::layer_norm(x.handle(), {}, {}, {.pack_result = PackedInput<X>::packed}));
}
template <AnyTensor X, AnyTensor G>
[[nodiscard]] auto layer_norm_packed(const X& x, const G& scale, const G& shift, NormOptions options = {}) {
    static_assert(same_backend<X, G>, "layer_norm: the operands live on different backends");
    static_assert(compatible(X::Shape::at(-1), G::Shape::at(-1)),
                  "layer_norm: scale and shift must be as wide as the input");
    options.pack_result = PackedInput<X>::packed;
    return PackedInput<X>(X::Backend::layer_norm(x.handle(), scale.handle(), shift.handle(), options));
}
/// LN(x) ∘ (1 + scale) + shift as the input of a linear layer: the norm has gain and bias [C]; scale and shift are [C]
/// or, for x [batch, …, C], [batch, C].
template <AnyTensor X, AnyTensor G, AnyTensor M>
[[nodiscard]] auto modulated_layer_norm_packed(const X& x, const G& gain, const G& bias, const M& scale, const M& shift,
                                               double epsilon = 1e-6) {
    static_assert(same_backend<X, G, M>, "modulated_layer_norm: the operands live on different backends");
    static_assert(compatible(X::Shape::at(-1), G::Shape::at(-1)) && compatible(X::Shape::at(-1), M::Shape::at(-1)),
                  "modulated_layer_norm: gain, bias, scale and shift must be as wide as the input");
    return PackedInput<X>(
        X::Backend::modulated_layer_norm(x.handle(), gain.handle(), bias.handle(), scale.handle(), shift.handle(),
                                         {.epsilon = epsilon, .pack_result = PackedInput<X>::packed}));
}
/// x / sqrt(mean x² + ε) · scale over the last axis (Zhang & Sennrich 2019); scale [C].
template <AnyTensor X, AnyTensor G>
[[nodiscard]] X rms_norm(const X& x, const G& scale, double epsilon = 1e-6) {
    static_assert(same_backend<X, G>, "rms_norm: the operands live on different backends");
    static_assert(compatible(X::Shape::at(-1), G::Shape::at(-1)), "rms_norm: the scale must be as wide as the input");
    return X(X::Backend::rms_norm(x.handle(), scale.handle(), {.epsilon = epsilon}));
}

/// Rotates adjacent pairs of the last axis (Su et al. 2021): x [batch, heads, tokens, D], cos and sin [tokens, D/2].
template <AnyTensor X, AnyTensor C>
[[nodiscard]] X rope(const X& x, const C& cos, const C& sin) {
    static_assert(same_backend<X, C>, "rope: the operands live on different backends");
    constexpr Index depth = X::Shape::at(-1);
    constexpr Index pairs = C::Shape::at(-1);
    static_assert(depth == dyn || pairs == dyn || depth == 2 * pairs,
                  "rope: the table must hold half as many angles as the head has channels");
    require(x.extent(-2) == cos.extent(0), "rope: ", x.extent(-2), " tokens, but angles for ", cos.extent(0));
    return X(X::Backend::rope(x.handle(), cos.handle(), sin.handle(), Rotation::forward));
}

/// softmax(scale · q kᵀ) v: q [batch, heads, queries, D], k and v [batch, heads, keys, D] → q's shape.
template <AnyTensor Q, AnyTensor K, AnyTensor V>
[[nodiscard]] Q attention(const Q& q, const K& k, const V& v, double scale, MaskKind mask = MaskKind::full) {
    static_assert(same_backend<Q, K, V>, "attention: the operands live on different backends");
    static_assert(Q::Shape::rank == 4 && K::Shape::rank == 4 && V::Shape::rank == 4,
                  "attention: operands are [batch, heads, tokens, head size]");
    static_assert(compatible(Q::Shape::at(3), K::Shape::at(3)) && compatible(K::Shape::at(3), V::Shape::at(3)),
                  "attention: queries, keys and values must have the same head size");
    static_assert(compatible(Q::Shape::at(1), K::Shape::at(1)), "attention: queries and keys must have as many heads");
    require(k.extents() == v.extents() && q.extent(0) == k.extent(0) && q.extent(1) == k.extent(1) &&
                q.extent(3) == k.extent(3),
            "attention: q ", q.extents(), ", k ", k.extents(), ", v ", v.extents());
    return Q(Q::Backend::attention(q.handle(), k.handle(), v.handle(), scale, mask).output);
}

/// Row rows[i] of the table for each i: table [N, C], rows i64 [M] → [M, C].
template <AnyTensor X, AnyTensor R>
[[nodiscard]] auto gather_rows(const X& table, const R& rows) {
    static_assert(same_backend<X, R>, "gather_rows: the operands live on different backends");
    static_assert(std::is_same_v<typename R::Element, Index>, "gather_rows: rows are integers");
    static_assert(R::Shape::rank == 1 && X::Shape::rank >= 1, "gather_rows: the rows are a vector");
    using S = ShapeOf<shape_algebra::replace<typename X::Shape, 0, R::Shape::at(0)>()>;
    return WithShape<X, S>(X::Backend::gather_rows(table.handle(), rows.handle()));
}

/// x ∘ factor + addend in one pass, broadcast, in the shape of the result of these two operations.
template <AnyTensor X, AnyTensor F, AnyTensor A>
[[nodiscard]] auto multiply_add(const X& x, const F& factor, const A& addend) {
    return detail::multiply_add(x, factor, addend, FactorKind::plain);
}
/// x ∘ (1 + scale) + shift in one pass (adaptive modulation).
template <AnyTensor X, AnyTensor F, AnyTensor A>
[[nodiscard]] auto modulate(const X& x, const F& scale, const A& shift) {
    return detail::multiply_add(x, scale, shift, FactorKind::plus_one);
}

/// a where condition is not zero, else b.
template <AnyTensor C, AnyTensor X>
[[nodiscard]] X where(const C& condition, const X& a, const X& b) {
    return X(X::Backend::where(condition.handle(), a.handle(), b.handle()));
}

/// The values of x in another element type.
template <class T, AnyTensor X>
[[nodiscard]] auto cast(const X& x) {
    return Tensor<typename X::Backend, typename X::Shape, T>(X::Backend::cast(x.handle(), dtype_of<T>));
}

}  // namespace flowfar
