#pragma once

// A tokenizer behind a run-time interface: between images and the latents of a FAR.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/io/bytes/file.hpp"

namespace flowfar::program {

/// Images are planes [batch, 3, image_height, image_width] in [-1, 1], latents [batch, channels, height, width] of unit
/// variance.
class AnyTokenizer {
   public:
    struct Facts {
        std::string name;
        int image_height = 0, image_width = 0;
        Index channels = 0, height = 0, width = 0;
        Index statistics_channels = 0;  // of what `statistics` gives, [batch, …, height, width]
        bool fixed_scale = true;        // else `set_scale` comes before `draw` and `decode`
    };

    AnyTokenizer() = default;
    AnyTokenizer(const AnyTokenizer&) = delete;
    AnyTokenizer& operator=(const AnyTokenizer&) = delete;
    virtual ~AnyTokenizer() = default;

    [[nodiscard]] const Facts& facts() const { return facts_; }
    /// All that images determine: worth keeping.
    [[nodiscard]] virtual std::vector<float> statistics(const std::vector<float>& images) const = 0;
    /// Latents of statistics, with the random numbers of a seed.
    [[nodiscard]] virtual std::vector<float> draw(const std::vector<float>& statistics, std::uint64_t seed) const = 0;
    [[nodiscard]] virtual std::vector<float> decode(const std::vector<float>& latents) const = 0;

    /// The factor that gives the latents of these images unit variance.
    [[nodiscard]] virtual double measured_scale(const std::vector<float>& images) const = 0;
    virtual void set_scale(double scale) = 0;

   protected:
    Facts facts_;
};

/// The tokenizer for latents of this shape: pixels for 3 channels; KL-16 for 16 channels, whose weights are in
/// `weights`; else the FlowMo whose model file is `weights`. Throws Error where they do not fit. Defined once per
/// backend, see latent_tokenizer_impl.hpp.
template <class B>
[[nodiscard]] std::unique_ptr<AnyTokenizer> make_tokenizer(Index channels, Index height, Index width,
                                                           const io::Path& weights);

}  // namespace flowfar::program
