// Weights from files in the page cache: a model of 302 MB (six feed-forward blocks of width 1,024) from safetensors,
// copied or left in the mapped file, and from a PyTorch checkpoint. Bytes per second count the file, to be held
// against `copy` of benchmarks/primitives.
#include <benchmark/benchmark.h>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/io/tensors/weights.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/mlp.hpp"

namespace {

using namespace flowfar;
namespace fs = std::filesystem;

using Block = Mlp<Cpu, 1024, 6144, Activation::silu>;

struct Model {
    using Backend = Cpu;
    std::vector<Block> blocks = make_blocks<Block>(6);

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("blocks", self.blocks);
    }
};

/// The model's file, for as long as this lives.
struct File {
    fs::path path;

    explicit File(bool torch)
        : path(fs::temp_directory_path() /
               ("flowfar-loading-" + std::to_string(::getpid()) + (torch ? ".pth" : ".safetensors"))) {
        const Model model;
        if (torch) {
            io::save_torch_parameters(model, path, DType::f32, "model");
        } else {
            io::save_parameters(model, path, DType::f32);
        }
    }
    ~File() { fs::remove(path); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
};

template <class Load>
void run(benchmark::State& state, bool torch, Load&& load) {
    const File file(torch);
    Model model;
    for (auto _ : state) {
        load(model, file.path);
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(fs::file_size(file.path)));
}

void safetensors_load(benchmark::State& state) {
    run(state, false, [](Model& model, const fs::path& path) { io::load_parameters(model, path); });
}
BENCHMARK(safetensors_load)->UseRealTime()->Unit(benchmark::kMillisecond);

void safetensors_share(benchmark::State& state) {
    run(state, false, [](Model& model, const fs::path& path) { io::map_parameters(model, path); });
}
BENCHMARK(safetensors_share)->UseRealTime()->Unit(benchmark::kMillisecond);

void torch_checkpoint_load(benchmark::State& state) {
    run(state, true, [](Model& model, const fs::path& path) { io::load_parameters(model, path); });
}
BENCHMARK(torch_checkpoint_load)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
