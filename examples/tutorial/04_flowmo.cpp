// A picture to 144 bytes and back, with the model that comes with the library.
// Usage: 04_flowmo [auto|cpu|cuda] PICTURE MODEL [OUT.png]

#include <cstdio>
#include <flowfar/devices.hpp>
#include <flowfar/flowmo.hpp>
#include <flowfar/io.hpp>
#include <flowfar/metrics.hpp>

namespace ff = flowfar;

template <class Device>
int run(const char* picture, const char* file, const char* out) {
    using Model = ff::FlowMo<ff::FlowMoTiny, Device>;
    const auto model = ff::load<Model>(file);

    // The short side is resized to 32 pixels and the middle kept, which is what this model takes.
    const ff::Image photo = ff::io::read_image(picture, {.size = 32});
    const ff::Tokens tokens = model.encode(photo);
    std::printf("%lld bits = %lld bytes\n", static_cast<long long>(tokens.bits_per_image()),
                static_cast<long long>(tokens.bits_per_image() / 8));

    // A token file keeps the codes, the picture's size and the configuration that made them.
    ff::io::write_tokens("tutorial.tokens", {tokens, 32, 32, ff::io::configuration_hash<ff::FlowMoTiny>()});
    const ff::Tokens again = ff::io::read_tokens("tutorial.tokens").tokens;

    // More steps give sharper pictures. One seed, one picture: on every device up to rounding.
    const std::vector<float> original = ff::to_planes({&photo, 1});
    for (const int steps : {1, 4, 25}) {
        const auto decoded = model.decode(again, {.steps = steps, .seed = 7});  // [1, 3, 32, 32] in [-1, 1]
        std::printf("%2d steps: PSNR %.1f dB\n", steps, ff::metrics::psnr(original, decoded.to_host(), 2.0));
        ff::io::write_image(out, decoded);
    }
    std::printf("wrote %s\n", out);
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: %s auto|cpu|cuda PICTURE MODEL [OUT.png]\n", argv[0]);
        return 2;
    }
    return ff::on_device(
        argv[1], [&]<class Device>() { return run<Device>(argv[2], argv[3], argc > 4 ? argv[4] : "04_flowmo.png"); });
}
