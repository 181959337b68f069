#pragma once

// MaskGiT models behind one run-time interface; the twin of any_far.hpp.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "flowfar/io/bytes/file.hpp"
#include "flowfar/maskgit/sample.hpp"
#include "flowfar/maskgit/train.hpp"
#include "flowfar/nn/parameter.hpp"
#include "flowfar/quantize/tokens.hpp"

#include "common/cli/device.hpp"

namespace flowfar::program {

/// What a program must know about a configuration.
struct MaskGitFacts {
    std::string name;
    Index classes = 0, tokens = 0, groups = 0, bits = 0, codewords = 0;
    std::string levels;  // of a codeword's values (Codebook::levels_text)
    MaskGitSampling sampling;
    Index parameter_count = 0;
};

/// A MaskGit whose configuration and device are chosen at run time.
class AnyMaskGit {
   public:
    /// Called after step `step` of `steps`; returns false to stop.
    using Callback = std::function<bool(int step, int steps)>;

    AnyMaskGit() = default;
    AnyMaskGit(const AnyMaskGit&) = delete;
    AnyMaskGit& operator=(const AnyMaskGit&) = delete;
    virtual ~AnyMaskGit() = default;

    [[nodiscard]] const MaskGitFacts& facts() const { return facts_; }
    virtual void load(const io::Path& path) = 0;
    virtual void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata = {}) = 0;
    [[nodiscard]] virtual AnyParameters parameters() = 0;
    /// Throws `Error` for options that cannot be sampled with.
    virtual void check(const MaskGitSampleOptions& options) const = 0;
    /// The tokens of one image per label.
    [[nodiscard]] virtual Tokens generate(const std::vector<Index>& labels, const MaskGitSampleOptions& options,
                                          const Callback& callback = {}) const = 0;
    /// The training loss of tokens without dropout. Sample i's draws depend on (options.seed, first_sample + i) alone.
    /// Throws Error for a model of bf16 weights.
    [[nodiscard]] virtual double loss(const Tokens& tokens, const std::vector<Index>& labels,
                                      const MaskGitTrainOptions& options, std::uint64_t first_sample) const = 0;

   protected:
    MaskGitFacts facts_;
};

/// A model without values. Defined once per configuration, backend and element type, see maskgit_model_impl.hpp.
template <class C, class B, class T>
[[nodiscard]] std::unique_ptr<AnyMaskGit> make_maskgit();

}  // namespace flowfar::program
