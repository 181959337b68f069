#pragma once

#include <concepts>
#include <cstdint>
#include <string>

#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/quantize/tokens.hpp"

namespace flowfar {

/// Weights of the quantizers' losses, and the sharpness of their entropies. The defaults are the published ones but for
/// `kl`, which was released as 1: a divergence summed over a code outweighs a mean square error by its thousands of
/// values.
struct QuantizerWeights {
    double entropy = 0.0025;       ///< LFQ, BSQ: of sample − codebook entropy
    double commitment = 0.000625;  ///< LFQ, BSQ: of the mean (x − q)²
    double temperature = 0.1;      ///< LFQ: of the codeword distribution
    double sharpness = 100.0;      ///< BSQ: κ, inverse temperature of the codeword distribution
    double kl = 1e-6;              ///< KL: of the divergence
};

/// What a quantizer's training loss consists of; parts that a quantizer does not have are 0. Entropies are in nats.
template <class Scalar>
struct QuantizerLoss {
    Scalar sample_entropy = Scalar::full({}, 0.0);    ///< mean over positions of the entropy of one codeword
    Scalar codebook_entropy = Scalar::full({}, 0.0);  ///< entropy of the mean codeword distribution
    Scalar commitment = Scalar::full({}, 0.0);        ///< mean (x − q)²
    Scalar divergence = Scalar::full({}, 0.0);        ///< from N(0, 1), summed over a code, mean over codes
    Scalar total = Scalar::full({}, 0.0);             ///< weighted
};

/// Makes of an encoder's output X [batch, tokens, Q::width(F)] the code [batch, tokens, F] that a decoder sees.
/// `quantize(x)` is for inference, `quantize(x, seed)` for training: only KL draws noise. `fits(F)` says whether codes
/// may have F values per token.
///
///     static_assert(Quantizer<Fsq<8, 8, 8>, Tensor<Cpu, Shape<dyn, 256, 6>>>);
template <class Q, class X>
concept Quantizer = AnyTensor<X> && requires(const X& x, std::uint64_t seed, const QuantizerWeights& weights) {
    { Q::name() } -> std::same_as<std::string>;
    { Q::discrete } -> std::convertible_to<bool>;
    { Q::fits(Index{}) } -> std::same_as<bool>;
    { Q::width(Index{}) } -> std::same_as<Index>;
    { Q::quantize(x) } -> AnyTensor;
    { Q::quantize(x, seed) } -> AnyTensor;
    { Q::loss(x, weights).total } -> AnyTensor;
};

/// One whose codes are indices into a codebook (quantize/codebook.hpp): `tokens(x)` reads them off an encoder's output,
/// `code<T>(tokens)` gives the values of `quantize` again, [batch, tokens, F].
template <class Q>
concept DiscreteQuantizer = Q::discrete && requires(const Tokens& tokens) {
    { Q::Codebook::size } -> std::convertible_to<Index>;
    { Q::template code<float>(tokens) } -> std::same_as<std::vector<float>>;
};

/// [batch, tokens, F] → [batch·tokens·F/Values, Values]: the codewords, positions ordered (batch, token, codeword).
/// Value f = g·(F/Values) + j is value g of codeword j.
template <Index Values, AnyTensor X>
[[nodiscard]] auto codewords(const X& code) {
    static_assert(X::Shape::rank == 3, "codewords: a code is [batch, tokens, values]");
    static_assert(X::Shape::at(2) == dyn || X::Shape::at(2) % Values == 0,
                  "codewords: the values per codeword must divide the number of values per token");
    const Index tokens = code.extent(0) * code.extent(1);
    require(code.extent(2) % Values == 0, "codewords: ", Values, " values do not divide ", code.extent(2),
            " values per token");
    const Index per_token = code.extent(2) / Values;
    const auto grouped = reshape<dyn, Values, dyn>(code, tokens, per_token);
    return reshape<dyn, Values>(permute<0, 2, 1>(grouped), tokens * per_token);
}

/// The code [batch, tokens, F] that has these codewords; `like` has its extents.
template <AnyTensor X, AnyTensor W>
[[nodiscard]] X from_codewords(const W& words, const X& like) {
    constexpr Index values = W::Shape::at(1);
    const Index tokens = like.extent(0) * like.extent(1);
    const auto grouped = reshape<dyn, dyn, values>(words, tokens, like.extent(2) / values);
    return X(reshape<typename X::Shape>(permute<0, 2, 1>(grouped), like.extents()));
}

}  // namespace flowfar
