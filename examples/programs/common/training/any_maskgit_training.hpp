#pragma once

// MaskGiT training behind one run-time interface; the twin of any_far_training.hpp.

#include <functional>
#include <memory>
#include <vector>

#include "common/models/any_maskgit.hpp"
#include "common/training/training.hpp"

namespace flowfar::program {

struct MaskGitTrainingSettings {
    MaskGitTrainOptions options = {};
    io::Path initial_model = {};  // empty: random parameters from the options' seed
};

/// A training run whose configuration is chosen at run time.
class AnyMaskGitTraining : public AnyTraining {
   public:
    /// One optimizer step on tokens with one label each; the result waits for its report.
    [[nodiscard]] virtual std::function<MaskGitTrainReport()> queue_step(const Tokens& tokens,
                                                                         const std::vector<Index>& labels) = 0;
    /// Gives a model of the same configuration the weights; they are shared, so it follows the training. Without an
    /// average, both are the raw ones.
    virtual void lend_to(AnyMaskGit& model, Weights which = Weights::averaged) = 0;
};

/// Defined once per configuration and backend, see maskgit_training_impl.hpp.
template <class C, class B>
[[nodiscard]] std::unique_ptr<AnyMaskGitTraining> make_maskgit_training(const MaskGitTrainingSettings& settings);

}  // namespace flowfar::program
