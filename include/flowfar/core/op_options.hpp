#pragma once

#include <cstdint>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/functors/functor.hpp"

namespace flowfar {

/// The finite vocabulary in which models talk to backends, beside UnaryOp and BinaryOp of core/functor.hpp.
enum class ReduceOp : std::uint8_t { sum, mean, max, sum_squares };

/// Activation that a gemm applies to its result.
enum class Activation : std::uint8_t { none, silu, gelu_tanh, gelu_erf };

/// Which keys a query may see. `causal`: key j is visible to query i if j <= i + (keys - queries).
enum class MaskKind : std::uint8_t { full, causal };

/// Whether a reduction leaves its axes with extent 1.
enum class ReducedAxes : std::uint8_t { drop, keep };

/// Whether a product takes a factor as it is or one more: adaptive modulation scales by 1 + scale.
enum class FactorKind : std::uint8_t { plain, plus_one };

/// Which way a rotary embedding turns.
enum class Rotation : std::uint8_t { forward, inverse };

/// An operand of a function of two tensors.
enum class Operand : std::uint8_t { first, second };

/// Whether a softmax gives probabilities or their logarithms.
enum class SoftmaxKind : std::uint8_t { probabilities, logarithms };

/// A set of axes as a bit mask.
struct Axes {
    unsigned bits = 0;

    [[nodiscard]] constexpr bool contains(int axis) const { return ((bits >> axis) & 1U) != 0; }
    [[nodiscard]] static constexpr Axes all(int rank) { return {(1U << rank) - 1U}; }
    [[nodiscard]] static constexpr Axes only(int axis) { return {1U << axis}; }
    [[nodiscard]] constexpr Axes operator|(Axes other) const { return {bits | other.bits}; }
};

/// y = act(alpha · a b + bias).
///
/// With `pack_result` an f32 result is nothing but the left operand of products with `packed_input`: where those round
/// it to bf16, a backend that packs_linear_inputs may give it in bf16, in the order in which they read it. Their
/// results are f32 again. Other backends are never asked for it.
struct GemmOptions {
    double alpha = 1.0;
    Activation activation = Activation::none;
    bool pack_result = false;
    bool packed_input = false;
};

/// Whether a backend can give the input of linear layers in the form that its products read.
template <class B>
inline constexpr bool packs_linear_inputs = requires { requires B::packs_linear_inputs; };

/// Options of the normalizations: `plus_one` scales by (1 + scale), as adaptive modulation does; `pack_result`
/// means what it does in GemmOptions.
struct NormOptions {
    double epsilon = 1e-6;
    bool plus_one = false;
    bool pack_result = false;

    [[nodiscard]] constexpr FactorKind gain_kind() const { return plus_one ? FactorKind::plus_one : FactorKind::plain; }
};

/// What rows are divided by: their standard deviation, after their mean was taken away, or their root mean square.
enum class NormKind : std::uint8_t { layer, rms };

/// Gradients of a normalization; `scale` and `shift` are undefined where the operand was.
template <class H>
struct NormGradients {
    H input;
    H scale;
    H shift;
};

/// A convolution's step and the zeros around its input, in pixels.
struct ConvOptions {
    Index stride = 1;
    Index top = 0;
    Index left = 0;
    Index bottom = 0;
    Index right = 0;

    /// Stride 1 with the padding that keeps the size under an odd kernel.
    [[nodiscard]] static constexpr ConvOptions same(Index kernel) { return same(kernel, kernel); }
    [[nodiscard]] static constexpr ConvOptions same(Index height, Index width) {
        return {1, height / 2, width / 2, height / 2, width / 2};
    }
    /// One padding for all sides.
    [[nodiscard]] static constexpr ConvOptions square(Index stride, Index padding) {
        return {stride, padding, padding, padding, padding};
    }
};

/// What a window of a pooling gives.
enum class PoolKind : std::uint8_t {
    max,         ///< the largest pixel; the padding never wins
    mean,        ///< the mean over the image and the zeros around it (torch: count_include_pad=True)
    mean_inside  ///< the mean over the pixels of the image only
};

/// A pooling's windows; `around` gives their step and padding, as for a convolution.
struct PoolOptions {
    PoolKind kind = PoolKind::max;
    Index height = 2;
    Index width = 2;
    ConvOptions around{.stride = 2};
    bool ceil = false;  ///< also windows that end beyond the padded image, if they begin inside it (torch: ceil_mode)

    /// Square windows with the same padding on all sides.
    [[nodiscard]] static constexpr PoolOptions square(PoolKind kind, Index size, Index stride, Index padding = 0,
                                                      bool ceil = false) {
        return {kind, size, size, {stride, padding, padding, padding, padding}, ceil};
    }
};

/// Attention's result and the row-wise log-sum-exp of its logits [batch, heads, queries, 1] that the backward pass
/// needs.
template <class H>
struct AttentionResult {
    H output;
    H log_sum_exp;
};

/// One of the sequences that `joint_heads` projects: x [batch, tokens, width], weight [3·heads·D, width], bias
/// [3·heads·D] or undefined, and the gains [D] of its queries' and keys' RMS norm.
template <class H>
struct HeadSource {
    H x;
    H weight;
    H bias;
    H query_gain;
    H key_gain;
};
/// Queries and keys, normalized and turned, and values of all sequences one after another: [batch, heads, tokens, D].
template <class H>
struct JointHeads {
    H query;
    H key;
    H value;
};
/// Whether a backend projects several sequences into one tensor and normalizes and turns the heads there
/// (`joint_heads`).
template <class B>
inline constexpr bool joins_heads = requires { requires B::joins_heads; };

template <class H>
struct AttentionGradients {
    H query;
    H key;
    H value;
};

/// One Adam step (Kingma & Ba 2015; decoupled weight decay: Loshchilov & Hutter 2019). `step` counts from 1.
struct AdamOptions {
    double learning_rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.0;
    bool decoupled = true;
    std::int64_t step = 1;
    double gradient_scale = 1.0;  ///< gradients are multiplied by this first (clipping, accumulation)
};

/// What one Adam step works on.
template <class H>
struct AdamTarget {
    H parameter;
    H gradient;
    H first;   ///< running mean of gradients
    H second;  ///< running mean of squared gradients
    AdamOptions options;
};

/// What brings a gradient of norm `norm` to at most `maximum` (Pascanu et al. 2013).
[[nodiscard]] FLOWFAR_HD constexpr double clip_factor(double norm, double maximum) {
    const double factor = maximum / (norm + 1e-6);
    return factor < 1.0 ? factor : 1.0;
}

/// A limit of gradients whose norm only the device knows. Steps with a norm that is not finite change nothing.
template <class H>
struct GradientLimit {
    H norm;                ///< L2 norm of all gradients of the step: f64, one element
    double maximum = 0.0;  ///< gradients are scaled to this norm if theirs is larger; 0: never
};

[[nodiscard]] constexpr UnaryOp unary_of(Activation activation) {
    switch (activation) {
        case Activation::silu:
            return UnaryOp::silu;
        case Activation::gelu_tanh:
            return UnaryOp::gelu_tanh;
        default:
            return UnaryOp::gelu_erf;
    }
}

}  // namespace flowfar
