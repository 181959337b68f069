#pragma once

// Perceptual losses chosen at run time, as a policy of FlowMo's training.

#include <functional>
#include <string>
#include <vector>

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/backend/cpu.hpp"
#include "flowfar/core/tensor.hpp"
#include "flowfar/io/file.hpp"

namespace flowfar::program {

struct ChosenPerceptual {
    using Images = Tensor<Autodiff<Cpu>, Shape<dyn, 3, dyn, dyn>>;
    using Scalar = Tensor<Autodiff<Cpu>, Shape<>>;

    double weight = 0.0;
    std::function<Scalar(const Images&, const Images&)> loss = {};

    template <AnyTensor X>
    [[nodiscard]] Scalar operator()(const X& x, const X& prediction) const {
        return loss(x, prediction);
    }
};

/// "none", and what `make_perceptual` knows.
[[nodiscard]] inline std::vector<std::string> perceptual_names() {
    return {"none", "gradient", "features", "lpips", "resnet"};
}

/// The loss of this name. `files` are its networks' weights: none for "gradient", a classifier of train_classifier for
/// "features", VGG-16's and LPIPS's for "lpips", ResNet-50's for "resnet". Throws Error where they do not fit.
[[nodiscard]] ChosenPerceptual make_perceptual(const std::string& name, double weight,
                                               const std::vector<std::string>& files);

}  // namespace flowfar::program
