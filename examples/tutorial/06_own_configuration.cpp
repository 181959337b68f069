// A FlowMo of your own sizes, trained for some steps on drawn pictures.
// Usage: 06_own_configuration [auto|cpu|cuda] [steps] [OUT.safetensors]

#include <cstdio>
#include <cstdlib>
#include <flowfar/devices.hpp>
#include <flowfar/flowmo.hpp>
#include <flowfar/io.hpp>

#include "pictures.hpp"

namespace ff = flowfar;

// A configuration is a type. Everything that it must satisfy is checked when it is compiled: set codebook_bits to 7,
// and the compiler says "FlowMo: the codebook bits must divide context_dim".
struct MyFlowMo : ff::FlowMoNano {
    static constexpr std::string_view name = "MyFlowMo";
    static constexpr ff::Index image_height = 32;
    static constexpr ff::Index image_width = 32;
    static constexpr ff::Index patch = 8;
    static constexpr ff::Index code_length = 16;
    static constexpr ff::MmditConfig decoder{64, 2, 2, {8, 12, 12}};
};

template <class Device>
int run(int steps, const char* out) {
    using Model = ff::FlowMo<MyFlowMo, Device>;
    ff::Random random(3);
    std::vector<ff::Image> pictures;
    for (int i = 0; i < 16; ++i) {
        pictures.push_back(draw_picture(i % 10, random));
    }
    const auto images = ff::to_tensor<typename Model::Images>(pictures);

    // The defaults are the published ones; so short a run wants a higher rate and no average of the weights.
    ff::FlowMoTrainOptions options{.adam = {.learning_rate = 2e-3}, .ema_every = 0, .seed = 1};
    ff::FlowMoTrainer<MyFlowMo, Device> trainer(options, [](auto& model) { model.initialize(1); });
    for (int step = 0; step < steps; ++step) {
        const ff::FlowMoTrainReport report = trainer.step(images);
        if (step % 10 == 0 || step + 1 == steps) {
            std::printf("step %3d: flow loss %.3f\n", step, report.flow);
        }
    }
    const Model trained = trainer.averaged_model();  // without an average: the weights
    ff::save(trained, out);
    const auto again = ff::load<Model>(out);
    std::printf("%lld parameters, saved and loaded: %s\n", static_cast<long long>(ff::parameter_count(again)),
                again.encode(images) == trained.encode(images) ? "same tokens" : "other tokens");
    return 0;
}

int main(int argc, char** argv) {
    return ff::on_device(argc > 1 ? argv[1] : "auto", [&]<class Device>() {
        return run<Device>(argc > 2 ? std::atoi(argv[2]) : 40, argc > 3 ? argv[3] : "my_flowmo.safetensors");
    });
}
