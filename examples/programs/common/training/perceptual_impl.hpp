#pragma once

// Defines make_perceptual<B>(); included only by the units that examples/CMakeLists.txt generates per backend.

#include <memory>

#include "flowfar/checkpoints/published.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/flowmo/loss.hpp"
#include "flowfar/perceptual/lpips.hpp"
#include "flowfar/perceptual/resnet_loss.hpp"

#include "common/training/feature_loss.hpp"
#include "common/training/perceptual.hpp"

namespace flowfar::program {

namespace detail {

template <class B, class Loss>
ChosenPerceptual<B> chosen(std::shared_ptr<Loss> loss, double weight) {
    using Chosen = ChosenPerceptual<B>;
    return {weight, [loss](const typename Chosen::Images& x, const typename Chosen::Images& prediction) {
                return typename Chosen::Scalar((*loss)(x, prediction));
            }};
}

inline void expect_files(const PerceptualChoice& choice, std::size_t count, const std::string& which) {
    require(choice.files.size() == count, "--perceptual ", choice.name, " needs --perceptual-files with ", which,
            ", found ", choice.files.size(), choice.files.size() == 1 ? " file" : " files");
}

}  // namespace detail

template <class B>
ChosenPerceptual<B> make_perceptual(const PerceptualChoice& choice) {
    using A = Autodiff<B>;
    const std::vector<std::string>& files = choice.files;
    if (choice.name == "gradient") {
        detail::expect_files(choice, 0, "no files");
        return detail::chosen<B>(std::make_shared<const MultiScaleGradientLoss<>>(), choice.weight);
    }
    if (choice.name == "lpips") {
        detail::expect_files(choice, 2, "VGG-16's file and LPIPS's vgg.pth");
        auto loss = std::make_shared<Lpips<Vgg16<A>>>();
        io::load_published(loss->network, files[0]);
        io::load_published(loss->weights, files[1]);
        return detail::chosen<B>(loss, choice.weight);
    }
    if (choice.name == "features") {
        detail::expect_files(choice, 1, "a classifier of train_classifier");
        ChosenPerceptual<B> out;
        visit_classifier<A>(classifier_name(files[0]), [&]<class Network>() {
            auto loss = std::make_shared<FeatureLoss<Network>>();
            io::load_parameters(loss->network, files[0]);
            freeze(loss->network);
            out = detail::chosen<B>(loss, choice.weight);
        });
        return out;
    }
    require(choice.name == "resnet", "unknown perceptual loss \"", choice.name, '"');
    detail::expect_files(choice, 1, "ResNet-50's file");
    auto loss = std::make_shared<ResNetLogitLoss<A>>();
    io::load_published(loss->network, files[0]);
    return detail::chosen<B>(loss, choice.weight);
}

}  // namespace flowfar::program
