/// FSQ, BSQ and KL on recorded codes: indices, values, losses and gradients.

#include <doctest/doctest.h>

#include "flowfar/quantize/bsq.hpp"
#include "flowfar/quantize/fsq.hpp"
#include "flowfar/quantize/kl.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Codes = Tensor<Autodiff<Tested>, Shape<dyn, dyn, dyn>>;

/// The gradient of total(code) at a stored code.
template <class Total>
Codes gradient_at(const Codes& stored, Total&& total) {
    const auto code = leaf(stored);
    backward(total(code));
    return Codes(Autodiff<Tested>::constant(gradient(code).handle()));
}

std::vector<Index> as_integers(const Tokens& tokens) {
    return {tokens.indices.begin(), tokens.indices.end()};
}

template <class Q>
void check_fsq(const Golden& golden, const std::string& name) {
    const auto code = golden.tensor<Codes>(name + "code");
    golden.close(name + "code", filled<Codes>("quant." + name + "code", code.extents(), 0.0, 2.5), 1e-7);
    const auto cotangent = golden.tensor<Codes>(name + "cotangent");
    golden.close(name + "bounded", Q::bounded(code), 2e-6);
    const auto quantized = Q::quantize(code);
    golden.close(name + "quantized", quantized, 2e-6);
    const Tokens tokens = Q::tokens(code);
    golden.equal(name + "indices", as_integers(tokens));
    CHECK(relative_l2(host(quantized).values, Q::template code<double>(tokens)) < 1e-7);
    golden.close(name + "grad_code", gradient_at(code, [&](const Codes& x) { return sum(Q::quantize(x) * cotangent); }),
                 2e-6);
    Tokens some{1, golden.extents(name + "decode_idx")[0], 1, Q::Codebook::bits, {}};
    for (const Index index : golden.integers(name + "decode_idx")) {
        some.indices.push_back(static_cast<std::uint32_t>(index));
    }
    golden.close(name + "decode_values", {{some.length, Q::Codebook::values}, Q::template code<double>(some)}, 2e-6);
}

template <class Q>
void check_bsq(const Golden& golden, const std::string& name, double sharpness) {
    const QuantizerWeights weights{.sharpness = sharpness};
    const auto code = golden.tensor<Codes>(name + "code");
    golden.close(name + "code", filled<Codes>("quant." + name + "code", code.extents()), 1e-7);
    const auto cotangent = golden.tensor<Codes>(name + "cotangent");
    golden.close(name + "unit", from_codewords(Q::unit(code), code), 2e-6);
    const auto quantized = Q::quantize(code);
    golden.close(name + "quantized", quantized, 2e-6);
    const Tokens tokens = Q::tokens(code);
    golden.equal(name + "indices", as_integers(tokens));
    CHECK(relative_l2(host(quantized).values, Q::template code<double>(tokens)) < 1e-6);

    const auto loss = Q::loss(code, weights);
    golden.close(name + "sample_entropy", loss.sample_entropy, 1e-5);
    golden.close(name + "batch_entropy", loss.codebook_entropy, 1e-5);
    golden.close(name + "commitment", loss.commitment, 1e-5);
    golden.close(name + "loss", loss.total, 1e-5);
    golden.close(name + "grad_code", gradient_at(code, [&](const Codes& x) { return Q::loss(x, weights).total; }),
                 3e-4);
    golden.close(
        name + "grad_code_with_cotangent",
        gradient_at(code, [&](const Codes& x) { return Q::loss(x, weights).total + sum(Q::quantize(x) * cotangent); }),
        3e-4);
    golden.close(name + "grad_code_entropy_only",
                 gradient_at(code,
                             [&](const Codes& x) {
                                 const auto parts = Q::loss(x, weights);
                                 return parts.sample_entropy - parts.codebook_entropy;
                             }),
                 3e-4);
    golden.close(name + "grad_code_commit_only",
                 gradient_at(code, [&](const Codes& x) { return Q::loss(x, weights).commitment; }), 3e-4);
}

}  // namespace

TEST_CASE("FSQ, BSQ, KL: indices, codes, losses, gradients") {
    const auto golden = Golden::find("quantizers");
    if (!golden) {
        return;
    }
    SUBCASE("fsq 8 8 8") {
        check_fsq<Fsq<8, 8, 8>>(*golden, "fsq0.");
    }
    SUBCASE("fsq 8 8 8 8 4") {
        check_fsq<Fsq<8, 8, 8, 8, 4>>(*golden, "fsq1.");
    }
    SUBCASE("fsq 5 3 7") {
        check_fsq<Fsq<5, 3, 7>>(*golden, "fsq2.");
    }
    SUBCASE("bsq 9") {
        check_bsq<Bsq<9>>(*golden, "bsq0.", 100.0);
    }
    SUBCASE("bsq 14") {
        check_bsq<Bsq<14>>(*golden, "bsq1.", 20.0);
    }
    SUBCASE("kl") {
        const auto code = golden->tensor<Codes>("kl.code");
        golden->close("kl.code", filled<Codes>("quant.kl.code", code.extents(), 0.0, 1.5), 1e-7);
        const auto cotangent = golden->tensor<Codes>("kl.cotangent");
        const Index batch = code.extent(0);
        const Index length = code.extent(1);
        const auto noise = reshape<dyn, dyn, dyn>(golden->tensor<Tensor<Autodiff<Tested>, Shape<dyn, dyn>>>("kl.noise"),
                                                  batch, code.extent(2) / 2, length);
        const QuantizerWeights released{.kl = 1.0};
        golden->close("kl.mean", Kl::quantize(code), 2e-6);
        golden->close("kl.quantized", Kl::sample(code, noise), 2e-6);
        golden->close("kl.loss", Kl::loss(code, released).total, 2e-6);
        golden->close("kl.grad_code", gradient_at(code, [&](const Codes& x) { return Kl::loss(x, released).total; }),
                      2e-6);
        golden->close("kl.grad_code_with_cotangent",
                      gradient_at(code,
                                  [&](const Codes& x) {
                                      return Kl::loss(x, released).total + sum(Kl::sample(x, noise) * cotangent);
                                  }),
                      2e-6);
    }
}
