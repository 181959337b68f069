// A vision transformer of your own (Dosovitskiy et al. 2021), trained to tell ten classes of 32 x 32 pictures apart.
// Usage: 08_own_network [auto|cpu|cuda] [cifar10-train.tar|drawn] [steps] [batch]; pictures.hpp draws pictures

#include <cstdio>
#include <cstdlib>
#include <flowfar/devices.hpp>
#include <flowfar/io.hpp>
#include <flowfar/nn.hpp>
#include <flowfar/optim.hpp>

#include "pictures.hpp"
#include "vit.hpp"

namespace ff = flowfar;

template <class Device>
int run(std::filesystem::path path, int steps, ff::Index batch) {
    if (path == "drawn") {
        path = "tutorial_pictures";
        write_pictures(path, 60);
    }
    const auto [train, held_back] = ff::io::ImageDataset(path).split(100, 1);

    using Network = Vit<ff::Autodiff<Device>, 128, 4, 4>;  // width, heads, blocks
    Network network;
    network.initialize(1);
    std::printf("%lld parameters\n", static_cast<long long>(ff::parameter_count(network)));

    ff::Adam<ff::Autodiff<Device>> adam(ff::parameters(network), {.learning_rate = 1e-3, .weight_decay = 0.05});
    const ff::RateSchedule rate{.warmup = steps / 10, .decay = ff::RateDecay::cosine, .total = steps};
    ff::io::ImageLoader loader(train, {.batch = batch, .size = 32, .flip = true});
    for (int step = 0; step < steps; ++step) {
        const auto [images, labels, index] = loader.next<typename Network::Images>();
        const auto loss = ff::cross_entropy(network(images), labels);
        ff::backward(loss);
        adam.step(rate(step));
        if (step % 10 == 0 || step + 1 == steps) {
            std::printf("step %3d: loss %.3f\n", step, static_cast<double>(loss.item()));
        }
    }

    const auto trained = ff::inference_model<Vit<Device, 128, 4, 4>>(network);
    int right = 0;
    for (const auto& [image, label, name] : held_back) {
        right += ff::argmax(trained(ff::to_tensor<typename Vit<Device, 128, 4, 4>::Images>(image))).item() == label;
    }
    std::printf("%d of %lld held-back pictures right\n", right, static_cast<long long>(held_back.size()));
    ff::save(trained, "vit.safetensors");
    return 0;
}

int main(int argc, char** argv) {
    return ff::on_device(argc > 1 ? argv[1] : "auto", [&]<class Device>() {
        return run<Device>(argc > 2 ? argv[2] : "drawn", argc > 3 ? std::atoi(argv[3]) : 60,
                           argc > 4 ? std::atoi(argv[4]) : 64);
    });
}
