#pragma once

// Perceptual losses chosen at run time, as a policy of FlowMo's training.

#include <functional>
#include <string>
#include <vector>

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/core/tensor.hpp"
#include "flowfar/io/bytes/file.hpp"

namespace flowfar::program {

/// "none", and what `make_perceptual` knows.
[[nodiscard]] inline std::vector<std::string> perceptual_names() {
    return {"none", "gradient", "features", "lpips", "resnet"};
}

/// Which loss, with which factor, and its networks' weights: none for "gradient", a classifier of train_classifier for
/// "features", VGG-16's and LPIPS's for "lpips", ResNet-50's for "resnet".
struct PerceptualChoice {
    std::string name = "none";
    double weight = 0.0;
    std::vector<std::string> files = {};
};

template <class B>
struct ChosenPerceptual {
    using Images = Tensor<Autodiff<B>, Shape<dyn, 3, dyn, dyn>>;
    using Scalar = Tensor<Autodiff<B>, Shape<>>;

    double weight = 0.0;
    std::function<Scalar(const Images&, const Images&)> loss = {};

    template <AnyTensor X>
    [[nodiscard]] Scalar operator()(const X& x, const X& prediction) const {
        return loss(x, prediction);
    }
};

/// Reads the loss's networks. Throws Error for "none", and for files that do not fit. Defined once per backend, see
/// perceptual_impl.hpp.
template <class B>
[[nodiscard]] ChosenPerceptual<B> make_perceptual(const PerceptualChoice& choice);

}  // namespace flowfar::program
