#pragma once

// From labels to images with a generator of tokens and their tokenizer, in bounded batches.

#include <algorithm>
#include <functional>
#include <vector>

#include "common/draw/flowmo_images.hpp"
#include "common/models/maskgit_model.hpp"

namespace flowfar::program {

/// Images per call that keep a batch at about 8,000 positions, whatever the configuration.
[[nodiscard]] inline Index batch_limit(const MaskGitFacts& facts) {
    return std::clamp<Index>(8192 / facts.tokens, 1, 64);
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
