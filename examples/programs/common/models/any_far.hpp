#pragma once

// FAR models behind one run-time interface; the twin of any_flowmo.hpp.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/far/sample_options.hpp"
#include "flowfar/far/train.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/nn/parameter.hpp"

#include "common/cli/device.hpp"

namespace flowfar::program {

/// What a program must know about a configuration.
struct FarFacts {
    std::string name;
    bool masked = false;
    Index classes = 0, channels = 0, height = 0, width = 0, tokens = 0;
    Index parameter_count = 0;
    std::vector<Index> levels;  // of sampling, unless told otherwise

    /// Levels are below this, the latents' shorter side.
    [[nodiscard]] Index level_count() const { return std::min(height, width); }
};

/// An autoregressive step as a callback sees it. Latents are [batch, channels, height, width].
struct FarEstimate {
    int step = 0, steps = 0;
    Index level = 0;
    std::function<std::vector<float>()> input;   // what the transformer saw: the previous result, low-passed
    std::function<std::vector<float>()> result;  // the latents if sampling stopped here
};

/// A FAR whose configuration and device are chosen at run time.
class AnyFar {
   public:
    /// Returns false to stop with the current estimate.
    using Callback = std::function<bool(const FarEstimate&)>;

    AnyFar() = default;
    AnyFar(const AnyFar&) = delete;
    AnyFar& operator=(const AnyFar&) = delete;
    virtual ~AnyFar() = default;

    [[nodiscard]] const FarFacts& facts() const { return facts_; }
    virtual void initialize(std::uint64_t seed) = 0;
    virtual void load(const io::Path& path) = 0;
    virtual void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata = {}) = 0;
    [[nodiscard]] virtual AnyParameters parameters() = 0;
    /// Throws `Error` for options of sampling that are impossible with this model, before any work is done.
    virtual void check(const FarSampleOptions& options) const = 0;
    /// One latent per label.
    [[nodiscard]] virtual std::vector<float> generate(const std::vector<Index>& labels, const FarSampleOptions& options,
                                                      const Callback& callback = {}) const = 0;
    /// The training loss of latents [batch, channels, height, width] without dropout and with a level per sample; the
    /// same draws for the same seed. Throws Error for a model of bf16 weights.
    [[nodiscard]] virtual FarTrainReport loss(const std::vector<float>& latents, const std::vector<Index>& labels,
                                              const FarTrainOptions& options) const = 0;

   protected:
    FarFacts facts_;
};

/// A model without values. Defined once per configuration, masking, backend and element type, see far_model_impl.hpp.
template <class C, class B, class T>
[[nodiscard]] std::unique_ptr<AnyFar> make_far();

}  // namespace flowfar::program
