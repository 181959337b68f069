// Defines make_perceptual().

#include "perceptual.hpp"

#include <memory>

#include "flowfar/flowmo/loss.hpp"
#include "flowfar/io/published_weights.hpp"
#include "flowfar/io/state_dict.hpp"
#include "flowfar/perceptual/lpips.hpp"
#include "flowfar/perceptual/resnet_loss.hpp"

#include "feature_loss.hpp"

namespace flowfar::program {

namespace {

template <class Loss>
ChosenPerceptual chosen(std::shared_ptr<const Loss> loss, double weight) {
    return {weight, [loss](const ChosenPerceptual::Images& x, const ChosenPerceptual::Images& prediction) {
                return ChosenPerceptual::Scalar((*loss)(x, prediction));
            }};
}

void expect_files(const std::string& name, const std::vector<std::string>& files, std::size_t count,
                  const std::string& which) {
    require(files.size() == count, "--perceptual ", name, " needs --perceptual-weights with ", which, ", found ",
            files.size(), files.size() == 1 ? " file" : " files");
}

}  // namespace

ChosenPerceptual make_perceptual(const std::string& name, double weight, const std::vector<std::string>& files) {
    if (name == "gradient") {
        expect_files(name, files, 0, "no files");
        return chosen(std::make_shared<const MultiScaleGradientLoss<>>(), weight);
    }
    if (name == "lpips") {
        expect_files(name, files, 2, "VGG-16's file and LPIPS's vgg.pth");
        auto loss = std::make_shared<Lpips<Vgg16<Autodiff<Cpu>>>>();
        io::load_published(loss->network, files[0]);
        io::load_published(loss->weights, files[1]);
        return chosen(std::shared_ptr<const Lpips<Vgg16<Autodiff<Cpu>>>>(loss), weight);
    }
    if (name == "features") {
        expect_files(name, files, 1, "a classifier of train_classifier");
        ChosenPerceptual out;
        visit_classifier<Autodiff<Cpu>>(classifier_name(files[0]), [&]<class Network>() {
            auto loss = std::make_shared<FeatureLoss<Network>>();
            io::load_parameters(loss->network, files[0]);
            freeze(loss->network);
            out = chosen(std::shared_ptr<const FeatureLoss<Network>>(loss), weight);
        });
        return out;
    }
    require(name == "resnet", "unknown perceptual loss \"", name, '"');
    expect_files(name, files, 1, "ResNet-50's file");
    auto loss = std::make_shared<ResNetLogitLoss<Autodiff<Cpu>>>();
    io::load_published(loss->network, files[0]);
    return chosen(std::shared_ptr<const ResNetLogitLoss<Autodiff<Cpu>>>(loss), weight);
}

}  // namespace flowfar::program
