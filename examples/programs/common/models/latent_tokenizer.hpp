#pragma once

// Tokenizers chosen at run time; the twin of flowmo_model.hpp.

#include <memory>

#include "common/cli/device.hpp"
#include "common/models/any_tokenizer.hpp"
#include "config_tables.hpp"

namespace flowfar::program {

/// The tokenizer for latents of this shape on a device, see make_tokenizer<B>().
[[nodiscard]] inline std::unique_ptr<AnyTokenizer> make_tokenizer(Index channels, Index height, Index width,
                                                                  const io::Path& weights, Device device) {
    std::unique_ptr<AnyTokenizer> tokenizer;
    Backends::visit(device, [&]<class B>() { tokenizer = make_tokenizer<B>(channels, height, width, weights); });
    return tokenizer;
}

}  // namespace flowfar::program
