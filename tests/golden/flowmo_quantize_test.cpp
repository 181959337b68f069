/// LFQ against the reference: tokens, losses and each of their gradients.

#include <doctest/doctest.h>

#include "flowfar/quantize/lfq.hpp"
#include "flowfar/quantize/tokens.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Codes = Tensor<Autodiff<Tested>, Shape<dyn, dyn, dyn>>;

template <Index Bits>
void check_quantizer(const std::string& name) {
    using Quantizer = Lfq<Bits>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    const auto cotangent = golden->tensor<Codes>("cotangent");
    const Extents extents = cotangent.extents();
    golden->close("cotangent", filled<Codes>("input.quant_cotangent", extents), 0.0);
    for (const std::string scale : {"s1.", "s01."}) {
        CAPTURE(scale);
        const auto stored = golden->tensor<Codes>(scale + "code");
        golden->close(scale + "code", filled<Codes>("input.code", extents) * (scale == "s1." ? 1.0 : 0.1), 1e-7);
        const auto gradient_of = [&](const auto& total) {
            const auto code = leaf(stored);
            backward(total(code));
            return gradient(code);
        };
        const auto quantized = Quantizer::quantize(stored);
        golden->close(scale + "quantized", quantized, 1e-7);
        const std::vector<float> signs = quantized.to_host();
        const auto tokens = Tokens::from_code<float>(signs, extents[0], extents[1], extents[2], Bits);
        golden->equal(scale + "indices", {tokens.indices.begin(), tokens.indices.end()});
        CHECK(tokens.template to_code<float>() == signs);

        const auto loss = Quantizer::loss(stored);
        golden->close(scale + "per_sample_entropy", loss.sample_entropy, 5e-6);
        golden->close(scale + "codebook_entropy", loss.codebook_entropy, 5e-6);
        golden->close(scale + "entropy_aux_loss", loss.sample_entropy - loss.codebook_entropy, 5e-6);
        golden->close(scale + "commitment", loss.commitment, 5e-6);
        golden->close(scale + "quantizer_loss", loss.total, 5e-6);

        golden->close(scale + "grad_code", gradient_of([](const Codes& c) { return Quantizer::loss(c).total; }), 3e-4);
        golden->close(scale + "grad_code_with_cotangent", gradient_of([&](const Codes& c) {
                          return Quantizer::loss(c).total + sum(Quantizer::quantize(c) * cotangent);
                      }),
                      5e-6);
        golden->close(scale + "grad_code_entropy_only", gradient_of([](const Codes& c) {
                          const auto parts = Quantizer::loss(c);
                          return parts.sample_entropy - parts.codebook_entropy;
                      }),
                      3e-4);
        golden->close(scale + "grad_code_commit_only",
                      gradient_of([](const Codes& c) { return Quantizer::loss(c).commitment; }), 1e-6);
    }

    Tokens some{1, golden->extents("decode_idx")[0], 1, Bits, {}};
    for (const Index index : golden->integers("decode_idx")) {
        some.indices.push_back(static_cast<std::uint32_t>(index));
    }
    const std::vector<double> bits = some.template to_code<double>();
    golden->close("decode_bits", {{some.length, Bits}, bits}, 0.0);
}

}  // namespace

TEST_CASE("LFQ: tokens, losses, gradients") {
    FlowMoQuantizers::each([]<class R>() { check_quantizer<R::Config::codebook_bits>(R::name); });
}
