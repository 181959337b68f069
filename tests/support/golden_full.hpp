#pragma once

/// The checks of a full-size FlowMo: one encoder pass and one decoder pass at batch 1.

#include <algorithm>
#include <chrono>
#include <doctest/doctest.h>
#include <string>
#include <sys/resource.h>

#include "flowfar/flowmo/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"

namespace flowfar::testing {

/// The most memory that the process has held so far.
inline double peak_gigabytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) * 1024 / 1e9;
}

/// Prints how long a part took and the largest memory that the process has held so far.
class Stopwatch {
   public:
    void report(const std::string& what) {
        const auto now = std::chrono::steady_clock::now();
        MESSAGE(what, ": ", std::chrono::duration<double>(now - last_).count(), " s, peak memory ", peak_gigabytes(),
                " GB");
        last_ = std::chrono::steady_clock::now();
    }

   private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Every `step`-th token of a sequence [batch, tokens, hidden].
template <AnyTensor X>
[[nodiscard]] HostTensor every(Index step, const X& x) {
    const HostTensor all = host(x);
    const auto width = static_cast<std::size_t>(all.extents[2]);
    HostTensor out{{all.extents[0], (all.extents[1] + step - 1) / step, all.extents[2]}, {}};
    for (Index b = 0; b < all.extents[0]; ++b) {
        for (Index t = 0; t < all.extents[1]; t += step) {
            const auto row = all.values.begin() + (b * all.extents[1] + t) * all.extents[2];
            out.values.insert(out.values.end(), row, row + static_cast<std::ptrdiff_t>(width));
        }
    }
    return out;
}

/// Compares what a model of configuration C computes with what the reference computed.
template <class C, class Model>
void check_outputs(const Golden& golden, const Model& model, Stopwatch& watch) {
    using Images = typename Model::Images;
    using Codes = typename Model::Codes;
    constexpr double bound = 3e-5;

    const auto check_streams = [&](const std::string& stem, Index block, const auto* image, const auto& code) {
        const std::string at = text(stem, ".block", block, ".");
        if (std::ranges::find(golden.tensors(), at + "txt_every16") != golden.tensors().end()) {
            golden.close(at + "txt_every16", every(16, code), bound);
            if (image != nullptr) {
                golden.close(at + "img_every256", every(256, *image), bound);
            }
        }
    };
    const Extents extents{1, 3, C::image_height, C::image_width};
    const auto images = filled<Images>("input.image", extents);
    const auto code = model.encode_observed(images, [&](Index i, const auto& x, const auto& c) {
        check_streams("enc", i, i + 1 == C::encoder.depth ? nullptr : &x, c);  // nobody reads the last image stream
    });
    watch.report("encoder");
    golden.close("code", code, bound);
    const std::vector<float> values = code.to_host();
    std::vector<Index> signs;
    for (const float value : values) {
        signs.push_back(value > 0 ? 1 : 0);
    }
    golden.equal("quantized_sign", signs);
    const auto tokens = Tokens::from_code<float>(values, 1, C::code_length, C::context_dim, C::codebook_bits);
    golden.equal("indices", {tokens.indices.begin(), tokens.indices.end()});

    const auto t = golden.tensor<typename Model::Times>("t");
    const auto vec = model.decoder.time_vector(t);
    golden.close("dec.vec", vec, bound);
    const auto input =
        Model::with_mask(Model::Quantizer::quantize(filled<Codes>("input.code", {1, C::code_length, C::context_dim})));
    const auto noise = filled<Images>("input.z0", extents);
    const auto out =
        model.decoder.run(Model::patchify(noise), input, vec, model.geometry(C::image_height, C::image_width).decoder,
                          {}, [&](Index i, const auto& x, const auto& c) { check_streams("dec", i, &x, c); });
    watch.report("decoder");
    golden.close("v", Model::unpatchify(out.image, C::image_height, C::image_width), bound);
    golden.close("final_txt", out.code, bound);
}

template <class C>
void check_full_size(const std::string& name) {
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Stopwatch watch;
    FlowMo<C, Tested> model;
    golden_parameters(name, model);
    watch.report("filling the parameters");
    check_outputs<C>(*golden, model, watch);
}

}  // namespace flowfar::testing
