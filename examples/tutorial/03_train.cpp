// Trains a small network to tell ten classes of 32 x 32 pictures apart.
// Usage: 03_train [auto|cpu|cuda] [cifar10-train.tar] [steps]; without data it draws some (see pictures.hpp)

#include <cstdio>
#include <cstdlib>
#include <flowfar/devices.hpp>
#include <flowfar/io.hpp>
#include <flowfar/nn.hpp>
#include <flowfar/optim.hpp>

#include "network.hpp"
#include "pictures.hpp"

namespace ff = flowfar;

template <class Device>
int run(std::filesystem::path path, int steps) {
    if (path.empty()) {
        path = "tutorial_pictures";
        write_pictures(path, 60);
        std::printf("no data given: 600 drawn pictures in %s\n", path.c_str());
    }
    const auto parts = ff::io::ImageDataset(path).split(100, 1);

    using Tape = ff::Autodiff<Device>;
    Network<Tape> network;
    network.initialize(1);
    ff::Adam<Tape> adam(ff::parameters(network), {.learning_rate = 3e-3});
    ff::io::ImageLoader loader(parts.train, {.batch = 32, .size = 32, .flip = false});
    for (int step = 0; step < steps; ++step) {
        const auto [images, labels, index] = loader.next<typename Network<Tape>::Images>();
        const auto loss = ff::cross_entropy(network(images), labels);
        ff::backward(loss);
        adam.step();
        if (step % 25 == 0) {
            std::printf("step %3d: loss %.3f\n", step, static_cast<double>(loss.item()));
        }
    }
    const auto trained = ff::inference_model<Network<Device>>(network);  // these weights without the tape
    std::printf("accuracy on 100 held-back pictures: %.0f %%\n", 100 * accuracy(trained, parts.validation));
    return 0;
}

int main(int argc, char** argv) {
    return ff::on_device(argc > 1 ? argv[1] : "auto", [&]<class Device>() {
        return run<Device>(argc > 2 ? argv[2] : "", argc > 3 ? std::atoi(argv[3]) : 100);
    });
}
