// Looks into a file of weights and loads it: safetensors, sharded or not, or a PyTorch checkpoint, published ones
// included.  Usage: 07_load_a_checkpoint [auto|cpu|cuda] FILE

#include <cstdio>
#include <flowfar/devices.hpp>
#include <flowfar/flowmo.hpp>
#include <flowfar/io.hpp>

namespace ff = flowfar;

template <class Device>
int run(const char* path) {
    // Opening reads names and sizes only, and executes nothing that the file says.
    const ff::io::WeightsFile file(path);
    std::printf("%s: %zu tensors\n", std::string(file.format()).c_str(), file.names().size());
    for (const auto& [name, value] : file.notes()) {
        std::printf("  %s = %.60s\n", name.c_str(), value.c_str());
    }
    for (std::size_t i = 0; i < 3; ++i) {
        const std::string& name = file.names().at(i);
        const ff::io::TensorInfo info = file.info(name);
        std::printf("  %s %s, %llu bytes\n", name.c_str(), std::string(info.type).c_str(),
                    static_cast<unsigned long long>(info.size));
    }

    // The names are PyTorch's; a model takes all of them or none. A model of another size says which one fits.
    try {
        static_cast<void>(ff::load<ff::FlowMo<ff::FlowMoNano, Device>>(path));
    } catch (const ff::Error& error) {
        std::printf("FlowMoNano: %s\n", error.what());
    }
    const auto model = ff::load<ff::FlowMo<ff::FlowMoTiny, Device>>(path);
    std::printf("FlowMoTiny: loaded %lld parameters\n", static_cast<long long>(ff::parameter_count(model)));
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: %s auto|cpu|cuda FILE\n", argv[0]);
        return 2;
    }
    return ff::on_device(argv[1], [&]<class Device>() { return run<Device>(argv[2]); });
}
