#pragma once

#include "flowfar/core/rearrange.hpp"
#include "flowfar/core/reductions.hpp"
#include "flowfar/core/shapes/attention_shape.hpp"
#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// The typed operations: each asserts what can be known at compile time, forwards to the backend, and wraps.

namespace detail {

template <AnyTensor X>
[[nodiscard]] X apply(Unary op, const X& x) {
    return X(X::Backend::unary(op, x.operand(name_of(op.op))));
}

template <AnyTensor A, AnyTensor B>
[[nodiscard]] auto apply(BinaryOp op, const A& a, const B& b) {
    static_assert(std::is_same_v<typename A::Backend, typename B::Backend>,
                  "elementwise: the operands live on different backends");
    static_assert(std::is_same_v<typename A::Element, typename B::Element>,
                  "elementwise: the operands have different element types; cast one of them");
    static_assert(shapes_broadcast<typename A::Shape, typename B::Shape>, "elementwise: the shapes do not broadcast");
    if constexpr (std::is_same_v<typename A::Backend, typename B::Backend> &&
                  shapes_broadcast<typename A::Shape, typename B::Shape>) {
        const std::string_view name = name_of(op);
        using S = BroadcastShape<typename A::Shape, typename B::Shape>;
        return WithShape<A, S>(A::Backend::binary(op, a.operand(name), b.operand(name)));
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
    static_assert(shapes_broadcast<typename X::Shape, typename F::Shape>,
                  "multiply_add: the first operand and the factor do not broadcast");
    using Product = BroadcastShape<typename X::Shape, typename F::Shape>;
    static_assert(shapes_broadcast<Product, typename A::Shape>,
                  "multiply_add: the product and the addend do not broadcast");
    return WithShape<X, BroadcastShape<Product, typename A::Shape>>(X::Backend::multiply_add(
        x.operand("multiply_add"), factor.operand("multiply_add"), addend.operand("multiply_add"), kind));
}

/// A number on x's backend and in its element type.
template <AnyTensor X>
[[nodiscard]] auto scalar_like(const X&, double value) {
    return WithShape<X, Shape<>>::full({}, value);
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
/// The nearest integer, halves to even; its gradient is the identity (straight-through).
template <AnyTensor X> [[nodiscard]] X round(const X& x) { return detail::apply({UnaryOp::round}, x); }
/// Entropy in nats of a coin with log-odds x.
template <AnyTensor X> [[nodiscard]] X binary_entropy(const X& x) { return detail::apply({UnaryOp::binary_entropy}, x); }

template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator+(const A& a, const B& b) { return detail::apply(BinaryOp::add, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator-(const A& a, const B& b) { return detail::apply(BinaryOp::sub, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator*(const A& a, const B& b) { return detail::apply(BinaryOp::mul, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator/(const A& a, const B& b) { return detail::apply(BinaryOp::div, a, b); }
// Of tensors by name: clang refuses these operators for other types before it looks at constraints.
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator+(const Tensor<B, S, T>& x, double c) { return affine(x, 1.0, c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator+(double c, const Tensor<B, S, T>& x) { return affine(x, 1.0, c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator-(const Tensor<B, S, T>& x, double c) { return affine(x, 1.0, -c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator-(double c, const Tensor<B, S, T>& x) { return affine(x, -1.0, c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator*(const Tensor<B, S, T>& x, double c) { return affine(x, c, 0.0); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator*(double c, const Tensor<B, S, T>& x) { return affine(x, c, 0.0); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator/(const Tensor<B, S, T>& x, double c) { return affine(x, 1.0 / c, 0.0); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator/(double c, const Tensor<B, S, T>& x) { return detail::scalar_like(x, c) / x; }
template <AnyTensor X> [[nodiscard]] X operator-(const X& x) { return affine(x, -1.0, 0.0); }
/// `x += y` makes x the tensor x + y, of x's shape; tensors that shared x's elements keep theirs.
template <AnyTensor X, class Y> X& operator+=(X& x, const Y& y) requires requires { x + y; } { return x = x + y; }
template <AnyTensor X, class Y> X& operator-=(X& x, const Y& y) requires requires { x - y; } { return x = x - y; }
template <AnyTensor X, class Y> X& operator*=(X& x, const Y& y) requires requires { x * y; } { return x = x * y; }
template <AnyTensor X, class Y> X& operator/=(X& x, const Y& y) requires requires { x / y; } { return x = x / y; }
// clang-format on

/// Softmax over the last axis.
template <AnyTensor X>
[[nodiscard]] X softmax(const X& x) {
    return X(X::Backend::softmax(x.operand("softmax")));
}
template <AnyTensor X>
[[nodiscard]] X log_softmax(const X& x) {
    return X(X::Backend::log_softmax(x.operand("log_softmax")));
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
    static_assert(Mismatch<inner, rows>::none, "matmul: the last extent of a must equal the second last of b");
    using S = ShapeOf<shape_algebra::replace<typename A::Shape, -1, B::Shape::at(-1)>()>;
    return WithShape<A, S>(A::Backend::gemm(a.operand("matmul"), b.operand("matmul"), {}, {.alpha = alpha}));
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
    static_assert(Mismatch<in, width>::none, "linear: the last extent of the input must equal the weight's second");
    static_assert(Mismatch<V::Shape::at(0), W::Shape::at(0)>::none, "linear: one bias per row of the weight");
    using S = ShapeOf<shape_algebra::replace<typename T::Shape, -1, W::Shape::at(0)>()>;
    return std::type_identity<WithShape<T, S>>{};
}
template <AnyLinearInput X>
[[nodiscard]] const auto& linear_operand(const X& x) {
    if constexpr (AnyTensor<X>) {
        return x.operand("linear");
    } else {
        return x.handle();
    }
}
template <AnyLinearInput X, AnyTensor W, AnyTensor V>
using LinearResult = typename decltype(linear_result<X, W, V>())::type;

}  // namespace detail

/// act(x Wᵀ + bias): x […, In], a tensor or a PackedInput, W [Out, In], bias [Out] or absent → […, Out].
template <AnyLinearInput X, AnyTensor W, AnyTensor V>
[[nodiscard]] auto linear(const X& x, const W& weight, const V& bias, Activation activation = Activation::none) {
    using B = typename W::Backend;
    return detail::LinearResult<X, W, V>(B::gemm(
        detail::linear_operand(x), B::permute(weight.operand("linear"), {1, 0}), bias.optional_operand("linear"),
        {.activation = activation, .packed_input = detail::LinearOperand<X>::packed}));
}
/// `linear` as the input of another linear layer.
template <AnyLinearInput X, AnyTensor W, AnyTensor V>
[[nodiscard]] auto linear_packed(const X& x, const W& weight, const V& bias, Activation activation = Activation::none) {
    using B = typename W::Backend;
    using Y = PackedInput<detail::LinearResult<X, W, V>>;
    return Y(B::gemm(
        detail::linear_operand(x), B::permute(weight.operand("linear"), {1, 0}), bias.optional_operand("linear"),
        {.activation = activation, .pack_result = Y::packed, .packed_input = detail::LinearOperand<X>::packed}));
}
/// residual + gate ∘ (x Wᵀ + bias) in one pass: gate absent (1), [Out] or, for x [batch, …, In], [batch, Out].
template <AnyTensor R, AnyTensor G, AnyLinearInput X, AnyTensor W, AnyTensor V>
[[nodiscard]] auto linear_add(const R& residual, const G& gate, const X& x, const W& weight, const V& bias) {
    using B = typename W::Backend;
    using Y = detail::LinearResult<X, W, V>;
    static_assert(same_backend<R, G, W>, "linear_add: the operands live on different backends");
    static_assert(shapes_agree<typename R::Shape, typename Y::Shape>,
                  "linear_add: the residual must have the shape of the result");
    static_assert(G::Shape::rank <= 2 && Mismatch<G::Shape::at(-1), Y::Shape::at(-1)>::none,
                  "linear_add: the gate must be as wide as the result");
    return Y(B::gemm_add(residual.operand("linear_add"), gate.optional_operand("linear_add"), detail::linear_operand(x),
                         B::permute(weight.operand("linear_add"), {1, 0}), bias.optional_operand("linear_add"),
                         {.packed_input = detail::LinearOperand<X>::packed}));
}

/// (x − mean) / sqrt(var + ε) over the last axis (Ba et al. 2016), without gain and bias.
template <AnyTensor X>
[[nodiscard]] X layer_norm(const X& x, double epsilon = 1e-6) {
    return X(X::Backend::layer_norm(x.operand("layer_norm"), {}, {}, {.epsilon = epsilon}));
}
/// Layer norm times scale plus shift; both [C] or, for x [batch, …, C], [batch, C]. `plus_one` scales by 1 + scale.
template <AnyTensor X, AnyTensor G>
[[nodiscard]] X layer_norm(const X& x, const G& scale, const G& shift, NormOptions options = {}) {
    static_assert(same_backend<X, G>, "layer_norm: the operands live on different backends");
    static_assert(Mismatch<X::Shape::at(-1), G::Shape::at(-1)>::none,
                  "layer_norm: scale and shift must be as wide as the input");
    return X(X::Backend::layer_norm(x.operand("layer_norm"), scale.optional_operand("layer_norm"),
                                    shift.optional_operand("layer_norm"), options));
}
/// Both as the input of a linear layer; scale and shift may be absent.
template <AnyTensor X>
[[nodiscard]] auto layer_norm_packed(const X& x) {
    return PackedInput<X>(
        X::Backend::layer_norm(x.operand("layer_norm"), {}, {}, {.pack_result = PackedInput<X>::packed}));
}
template <AnyTensor X, AnyTensor G>
[[nodiscard]] auto layer_norm_packed(const X& x, const G& scale, const G& shift, NormOptions options = {}) {
    static_assert(same_backend<X, G>, "layer_norm: the operands live on different backends");
    static_assert(Mismatch<X::Shape::at(-1), G::Shape::at(-1)>::none,
                  "layer_norm: scale and shift must be as wide as the input");
    options.pack_result = PackedInput<X>::packed;
    return PackedInput<X>(X::Backend::layer_norm(x.operand("layer_norm"), scale.optional_operand("layer_norm"),
                                                 shift.optional_operand("layer_norm"), options));
}
/// LN(x) ∘ (1 + scale) + shift as the input of a linear layer: the norm has gain and bias [C]; scale and shift are [C]
/// or, for x [batch, …, C], [batch, C].
template <AnyTensor X, AnyTensor G, AnyTensor M>
[[nodiscard]] auto modulated_layer_norm_packed(const X& x, const G& gain, const G& bias, const M& scale, const M& shift,
                                               double epsilon = 1e-6) {
    static_assert(same_backend<X, G, M>, "modulated_layer_norm: the operands live on different backends");
    static_assert(
        Mismatch<X::Shape::at(-1), G::Shape::at(-1)>::none && Mismatch<X::Shape::at(-1), M::Shape::at(-1)>::none,
        "modulated_layer_norm: gain, bias, scale and shift must be as wide as the input");
    return PackedInput<X>(X::Backend::modulated_layer_norm(
        x.operand("modulated_layer_norm"), gain.operand("modulated_layer_norm"), bias.operand("modulated_layer_norm"),
        scale.operand("modulated_layer_norm"), shift.operand("modulated_layer_norm"),
        {.epsilon = epsilon, .pack_result = PackedInput<X>::packed}));
}
/// x / sqrt(mean x² + ε) · scale over the last axis (Zhang & Sennrich 2019); scale [C].
template <AnyTensor X, AnyTensor G>
[[nodiscard]] X rms_norm(const X& x, const G& scale, double epsilon = 1e-6) {
    static_assert(same_backend<X, G>, "rms_norm: the operands live on different backends");
    static_assert(Mismatch<X::Shape::at(-1), G::Shape::at(-1)>::none,
                  "rms_norm: the scale must be as wide as the input");
    return X(X::Backend::rms_norm(x.operand("rms_norm"), scale.operand("rms_norm"), {.epsilon = epsilon}));
}

/// Rotates adjacent pairs of the last axis (Su et al. 2021): x [batch, heads, tokens, D], cos and sin [tokens, D/2].
template <AnyTensor X, AnyTensor C>
[[nodiscard]] X rope(const X& x, const C& cos, const C& sin) {
    static_assert(same_backend<X, C>, "rope: the operands live on different backends");
    constexpr Index depth = X::Shape::at(-1);
    constexpr Index pairs = C::Shape::at(-1);
    static_assert(Mismatch<depth, (pairs == dyn ? dyn : 2 * pairs)>::none,
                  "rope: the table must hold half as many angles as the head has channels");
    require(x.extent(-2) == cos.extent(0), "rope: ", x.extent(-2), " tokens, but angles for ", cos.extent(0));
    return X(X::Backend::rope(x.operand("rope"), cos.operand("rope"), sin.operand("rope"), Rotation::forward));
}

namespace detail {

/// Checks queries and keys or values of an attention.
template <AnyTensor Q, AnyTensor X>
void check_heads(const Q& q, const X& x) {
    static_assert(same_backend<Q, X>, "attention: the operands live on different backends");
    static_assert(Q::Shape::rank == 4 && X::Shape::rank == 4,
                  "attention: operands are [batch, heads, tokens, head size]");
    static_assert(Mismatch<Q::Shape::at(3), X::Shape::at(3)>::none,
                  "attention: queries, keys and values must have the same head size");
    static_assert(Q::Shape::at(1) == dyn || X::Shape::at(1) == dyn || heads_fit(Q::Shape::at(1), X::Shape::at(1)),
                  "attention: the number of key heads must divide that of query heads");
    require(q.extent(0) == x.extent(0) && q.extent(3) == x.extent(3) && heads_fit(q.extent(1), x.extent(1)),
            "attention: queries ", q.extents(), ", keys or values ", x.extents());
}

}  // namespace detail

/// Which keys are not hidden, [batch, keys]: 1, or 0 for a hidden one.
template <class B>
using KeyMask = Tensor<B, Shape<dyn, dyn>, Index>;

/// softmax(scale · q kᵀ) v: q [batch, heads, queries, D], k and v [batch, key heads, keys, D] → q's shape. Several
/// heads of queries in a row share one of keys and values if there are fewer of those (Ainslie et al. 2023). `key_mask`
/// hides keys from all queries of its row, in addition to `mask`; a query that sees none gives zeros.
template <AnyTensor Q, AnyTensor K, AnyTensor V>
[[nodiscard]] Q attention(const Q& q, const K& k, const V& v, double scale, MaskKind mask = MaskKind::full,
                          const KeyMask<typename Q::Backend>& key_mask = {}) {
    detail::check_heads(q, k);
    detail::check_heads(q, v);
    require(k.extents() == v.extents(), "attention: keys ", k.extents(), ", values ", v.extents());
    const bool masked = key_mask.defined();
    if (masked) {
        require(key_mask.extent(0) == k.extent(0) && key_mask.extent(1) == k.extent(2), "attention: a mask ",
                key_mask.extents(), " for keys ", k.extents());
    }
    return Q(Q::Backend::attention(q.operand("attention"), k.operand("attention"), v.operand("attention"), scale, mask,
                                   masked ? key_mask.operand("attention") : typename Q::Backend::Handle{})
                 .output);
}

/// softmax(scale · q kᵀ + bias) v, where the bias broadcasts to [batch, heads, queries, keys]: the general form, which
/// can hide any key from any query. Its logits are in memory; as many heads of keys as of queries.
template <AnyTensor Q, AnyTensor K, AnyTensor V, AnyTensor Bias>
[[nodiscard]] Q biased_attention(const Q& q, const K& k, const V& v, const Bias& bias, double scale) {
    static_assert(same_backend<Q, Bias>, "attention: the operands live on different backends");
    detail::check_heads(q, k);
    detail::check_heads(q, v);
    require(k.extents() == v.extents() && q.extent(1) == k.extent(1), "attention: queries ", q.extents(), ", keys ",
            k.extents(), ", values ", v.extents());
    return Q(matmul(softmax(matmul(q, transpose(k), scale) + bias), v).handle());
}

/// Row rows[i] of the table for each i: table [N, C], rows i64 [M] → [M, C].
template <AnyTensor X, AnyTensor R>
[[nodiscard]] auto gather_rows(const X& table, const R& rows) {
    static_assert(same_backend<X, R>, "gather_rows: the operands live on different backends");
    static_assert(std::is_same_v<typename R::Element, Index>, "gather_rows: rows are integers");
    static_assert(R::Shape::rank == 1 && X::Shape::rank >= 1, "gather_rows: the rows are a vector");
    using S = ShapeOf<shape_algebra::replace<typename X::Shape, 0, R::Shape::at(0)>()>;
    return WithShape<X, S>(X::Backend::gather_rows(table.operand("gather_rows"), rows.operand("gather_rows")));
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

/// a where condition is not zero, else b, broadcast.
///
///     const auto steps = where(x > 0.0, x, 0.1 * x);
template <AnyTensor C, AnyTensor X, AnyTensor Y>
[[nodiscard]] auto where(const C& condition, const X& a, const Y& b) {
    static_assert(same_backend<C, X, Y>, "where: the operands live on different backends");
    static_assert(std::is_same_v<typename C::Element, typename X::Element> &&
                      std::is_same_v<typename X::Element, typename Y::Element>,
                  "where: the operands have different element types; cast one of them");
    static_assert(shapes_broadcast<typename X::Shape, typename Y::Shape>,
                  "where: the shapes of both choices do not broadcast");
    using Choice = BroadcastShape<typename X::Shape, typename Y::Shape>;
    static_assert(shapes_broadcast<typename C::Shape, Choice>,
                  "where: the shapes of condition and choices do not broadcast");
    return WithShape<X, BroadcastShape<typename C::Shape, Choice>>(
        X::Backend::where(condition.operand("where"), a.operand("where"), b.operand("where")));
}

/// The values of x in another element type.
template <class T, AnyTensor X>
[[nodiscard]] auto cast(const X& x) {
    return Tensor<typename X::Backend, typename X::Shape, T>(X::Backend::cast(x.operand("cast"), dtype_of<T>));
}

}  // namespace flowfar
