// Pictures of classes, from low to high frequency, with the model that comes with the library.
// Usage: 05_far [auto|cpu|cuda] MODEL [OUT.png]

#include <cstdio>
#include <flowfar/devices.hpp>
#include <flowfar/far.hpp>
#include <flowfar/io.hpp>

namespace ff = flowfar;

template <class Device>
int run(const char* file, const char* out) {
    using Model = ff::Far<ff::FarTiny, Device>;
    const auto model = ff::load<Model>(file);

    // The classes of CIFAR-10 by number: 1 is a car, 7 a horse. The callback sees every level's result; returning false
    // would stop with it.
    const auto progress = [](const typename Model::Step& step) {
        std::printf("level %2lld (%2d of %d), guidance %.2f\n", static_cast<long long>(step.level), step.step,
                    step.steps, step.guidance);
        return true;
    };
    const auto latents = model.generate({1, 7}, {.seed = 7}, progress);

    // This model's latents are pixels times two. Published models have an autoencoder instead: Vae<Kl16, Device>.
    const ff::PixelTokenizer<Device, ff::FarTiny::side> pixels;
    ff::io::write_image(out, pixels.decode(latents));
    std::printf("wrote %s\n", out);
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: %s auto|cpu|cuda MODEL [OUT.png]\n", argv[0]);
        return 2;
    }
    return ff::on_device(argv[1],
                         [&]<class Device>() { return run<Device>(argv[2], argc > 3 ? argv[3] : "05_far.png"); });
}
