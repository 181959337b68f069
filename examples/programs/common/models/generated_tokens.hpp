#pragma once

// From labels to images with a generator of tokens and their tokenizer, in bounded batches.

#include <algorithm>
#include <functional>
#include <vector>

#include "common/draw/flowmo_images.hpp"
#include "common/models/maskgit_model.hpp"

namespace flowfar::program {

/// Images per call that keep a batch at about 8,000 tokens, and the logits of both passes of guidance within 1 GiB,
/// whatever the configuration.
[[nodiscard]] inline Index batch_limit(const MaskGitFacts& facts) {
    const Index logits = 2 * facts.tokens * facts.groups * facts.codewords;
    return std::clamp<Index>(std::min(8192 / facts.tokens, (Index{1} << 28) / logits), 1, 64);
}

/// The images of tokens whose first has this number. Image i starts from noise that depends on (options.seed, i) alone.
[[nodiscard]] inline std::vector<Image> decode_each(const AnyFlowMo& tokenizer, const Tokens& tokens,
                                                    FlowMoDecodeOptions options, Index first_number) {
    std::vector<Image> out;
    const std::uint64_t seed = options.seed;
    for (Index i = 0; i < tokens.batch; ++i) {
        options.seed = fold(seed, static_cast<std::uint64_t>(first_number + i));
        out.push_back(decode_images(tokenizer, tokens_between(tokens, i, i + 1), options).front());
    }
    return out;
}

}  // namespace flowfar::program
