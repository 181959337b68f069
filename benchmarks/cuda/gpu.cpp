// Times and memory of the CUDA backend: matrix products, attention, row operations, convolutions, FlowMo and FAR. One
// Markdown table on standard output; medians over several runs.
//
//     gpu [--only TEXT] [--short] [--part kernels|models]
//
// --only measures the rows that contain TEXT; --short takes 3 rounds of 30 ms each in place of 5 of 100 ms, and leaves
// out what takes minutes: FlowMo in f32, and batches of 32 images.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/cuda/kernel_choice.hpp"
#include "flowfar/backend/precision.hpp"
#include "flowfar/far/vae/model.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/samplers_cuda/far.hpp"
#include "flowfar/samplers_cuda/flowmo.hpp"

using namespace flowfar;

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
    std::string only;
    std::string part;
    bool brief = false;

    [[nodiscard]] bool wants(const std::string& row) const { return row.find(only) != std::string::npos; }
    template <class Name>
    [[nodiscard]] bool wants_any(const std::vector<const char*>& rows, const std::vector<Index>& batches,
                                 Name name) const {
        return std::any_of(rows.begin(), rows.end(), [&](const char* row) {
            return std::any_of(batches.begin(), batches.end(), [&](Index batch) { return wants(name(row, batch)); });
        });
    }
};
Settings settings;

/// Median seconds of one call of f, which queues work on the device.
template <class F>
double seconds_of(F&& f) {
    Cuda::reset_high_water();
    const auto run = [&](int times) {
        Cuda::synchronize();
        const auto start = Clock::now();
        for (int i = 0; i < times; ++i) {
            f();
        }
        Cuda::synchronize();
        return std::chrono::duration<double>(Clock::now() - start).count();
    };
    run(1);  // kernels are loaded and algorithms chosen
    const double once = std::max(run(1), 1e-7);
    const int times = std::max(1, static_cast<int>((settings.brief ? 0.03 : 0.1) / once));
    std::vector<double> found;
    for (int round = 0; round < (settings.brief ? 3 : 5); ++round) {
        found.push_back(run(times) / times);
    }
    std::sort(found.begin(), found.end());
    return found[found.size() / 2];
}

/// A row of the table, which benchmarks/peers/compare_gpu.py reads; memory is the most in use during the measurement.
/// `amount` is what one call does: floating-point operations with `unit` "TFLOP/s", bytes with "TB/s", images with
/// "images/s".
template <class F>
void measure(const std::string& name, double amount, const char* unit, F&& f) {
    if (!settings.wants(name)) {
        return;
    }
    const std::size_t refused = cuda::plain_products();
    const double seconds = seconds_of(f);
    if (cuda::plain_products() != refused) {
        std::fprintf(stderr, "%s: cuBLASLt refused products, and the plain kernel did them\n", name.c_str());
    }
    const double scale = unit[0] == 'T' ? 1e12 : 1.0;
    std::printf("| %s | %.4f | %.2f %s | %.0f |\n", name.c_str(), 1e3 * seconds, amount / seconds / scale, unit,
                static_cast<double>(Cuda::memory_use().high_water) / 0x1p20);
    std::fflush(stdout);
}

Handle draw(const Extents& extents, DType dtype) {
    return Cuda::normal(extents, dtype, 1, 0);
}

void matrix_products(DType dtype) {
    struct Size {
        Index rows, inner, columns;
    };
    for (const Size& s : {Size{4096, 4096, 4096}, Size{4352, 1152, 3456}, Size{4352, 1152, 4608},
                          Size{4352, 4608, 1152}, Size{256, 768, 3072}, Size{64, 1024, 1024}}) {
        const Handle x = draw({s.rows, s.inner}, dtype);
        const Handle w = Cuda::permute(draw({s.columns, s.inner}, dtype), {1, 0});
        const Handle bias = draw({s.columns}, dtype);
        const double work = 2.0 * static_cast<double>(s.rows * s.inner * s.columns);
        measure(text("gemm ", name_of(dtype), " ", s.rows, "×", s.inner, "×", s.columns, " with bias"), work, "TFLOP/s",
                [&] { static_cast<void>(Cuda::gemm(x, w, bias, {})); });
    }
}

void attentions() {
    struct Size {
        Index batch, heads, tokens, depth;
    };
    for (const Size& s : {Size{1, 12, 4352, 96}, Size{8, 12, 4352, 96}, Size{1, 16, 8192, 128}, Size{4, 16, 4096, 64},
                          Size{64, 12, 320, 64}}) {
        const Extents e{s.batch, s.heads, s.tokens, s.depth};
        const Handle q = draw(e, DType::bf16);
        const Handle k = draw(e, DType::bf16);
        const Handle v = draw(e, DType::bf16);
        const double scale = 1.0 / std::sqrt(static_cast<double>(s.depth));
        const double work = 4.0 * static_cast<double>(s.batch * s.heads * s.tokens * s.tokens * s.depth);
        const std::string sizes = text(s.batch, "×", s.heads, "×", s.tokens, "×", s.depth);
        const auto forward = [&] { static_cast<void>(Cuda::attention(q, k, v, scale, MaskKind::full)); };
        measure("attention BF16 " + sizes, work, "TFLOP/s", forward);
        cuda::choose_attention(cuda::AttentionKernels::warpgroups);
        if (cuda::attention_kernels_for(s.depth) == cuda::AttentionKernels::warpgroups) {
            measure("attention by warpgroups BF16 " + sizes, work, "TFLOP/s", forward);
        } else {
            std::fprintf(stderr, "attention %s: the warpgroup engine does not serve it\n", sizes.c_str());
        }
        cuda::choose_attention(cuda::AttentionKernels::portable);
        const auto y = Cuda::attention(q, k, v, scale, MaskKind::full);
        measure("attention backward BF16 " + sizes, 2.5 * work, "TFLOP/s",
                [&] { static_cast<void>(Cuda::attention_backward(q, k, v, y, v, scale, MaskKind::full)); });
    }
}

void row_operations(DType dtype) {
    const Extents e{8, 4352, 1152};
    const Handle x = draw(e, dtype);
    const Handle g = draw(e, dtype);
    const Handle scale = draw({8, 1152}, dtype);
    const double bytes = static_cast<double>(x.count()) * static_cast<double>(size_of(dtype));
    const std::string type(name_of(dtype));
    const auto row = [&](const std::string& name, double amount, auto&& f) {
        measure(name + " " + type, amount, "TB/s", [&] { static_cast<void>(f()); });
    };
    row("add", 3 * bytes, [&] { return Cuda::binary(BinaryOp::add, x, g); });
    row("gelu", 2 * bytes, [&] { return Cuda::unary({UnaryOp::gelu_tanh}, x); });
    row("transposed copy", 2 * bytes, [&] { return Cuda::contiguous(Cuda::permute(x, {0, 2, 1})); });
    row("modulated layer norm", 2 * bytes, [&] { return Cuda::layer_norm(x, scale, scale, {.plus_one = true}); });
    row("modulated layer norm backward", 3 * bytes,
        [&] { return Cuda::layer_norm_backward(x, scale, scale, g, {.plus_one = true}); });
    row("softmax", 2 * bytes, [&] { return Cuda::softmax(x); });
    row("sum over rows", bytes, [&] { return Cuda::reduce(ReduceOp::sum, x, Axes{3U}, ReducedAxes::drop); });
}

void convolutions(DType dtype) {
    const Handle x = draw({1, 128, 256, 256}, dtype);
    const Handle w = draw({128, 128, 3, 3}, dtype);
    const Handle c = draw({128}, dtype);
    const std::string type(name_of(dtype));
    measure("convolution 3×3 " + type + " 128×256×256", 2.0 * 9 * 128 * 128 * 65536, "TFLOP/s",
            [&] { static_cast<void>(Cuda::conv2d(x, w, c, ConvOptions::same(3))); });
    measure("group norm " + type + " 128×256×256", 2.0 * static_cast<double>(x.count() * Index(size_of(dtype))), "TB/s",
            [&] { static_cast<void>(Cuda::group_norm(x, c, c, 32, 1e-6)); });
}

template <class T>
void vae(const char* type) {
    using Model = Vae<Kl16, Cuda, T>;
    if (!settings.wants(text("Kl16 ", type, " decode, batch 1"))) {
        return;
    }
    Model model;
    model.initialize(1);
    const auto latents = Model::Latents::normal({1, Kl16::latent_channels, 16, 16}, 1);
    measure(text("Kl16 ", type, " decode, batch 1"), 1.0, "images/s",
            [&] { static_cast<void>(model.decode(latents)); });
}

template <class T>
void flowmo(const char* type) {
    using Model = FlowMo<FlowMoLo, Cuda, T>;
    const auto name = [&](const char* what, Index batch) {
        return text("FlowMoLo ", type, " ", what, ", batch ", batch);
    };
    const std::vector<Index> batches = settings.brief ? std::vector<Index>{1, 8} : std::vector<Index>{1, 8, 32};
    if (!settings.wants_any({"encode", "decode, 25 steps", "decode, 25 steps as graphs"}, batches, name)) {
        return;
    }
    Model model;
    model.initialize(1);
    const FlowMoDecodeOptions options{.steps = 25, .guidance = 1.5};
    for (const Index batch : batches) {
        const auto images = Model::Images::zeros({batch, 3, 256, 256});
        const Tokens tokens = model.encode(images);
        const auto count = static_cast<double>(batch);
        const auto row = [&](const char* what, auto&& f) {
            measure(name(what, batch), count, "images/s", [&] { static_cast<void>(f()); });
        };
        row("encode", [&] { return model.encode(images); });
        row("decode, 25 steps", [&] { return model.decode(tokens, options); });
        FlowMoGraphSampler<FlowMoLo, T> sampler(model, batch);
        row("decode, 25 steps as graphs", [&] { return sampler.decode(tokens, options); });
    }
}

template <class C, class T>
void far_samples(const char* type) {
    using Model = Far<C, Cuda, T>;
    const auto name = [&](const char* what, Index batch) {
        return text(C::name, " ", type, " ", what, ", batch ", batch);
    };
    if (!settings.wants_any({"sample", "sample, steps as graphs"}, {1, 64}, name)) {
        return;
    }
    Model model;
    model.initialize(1);
    for (const Index batch : {1, 64}) {
        const FarSampler<Model> sampler(model, {});
        const std::vector<Index> labels(static_cast<std::size_t>(batch), 7);
        const auto row = [&](const char* what, auto&& f) {
            measure(name(what, batch), static_cast<double>(batch), "images/s", [&] { static_cast<void>(f()); });
        };
        row("sample", [&] { return sampler(labels); });
        FarGraphSampler<C, T> recorded(model, {});
        row("sample, steps as graphs", [&] { return recorded(labels); });
    }
}

void training() {
    if (!settings.wants("FlowMoSmall F32 training step, batch 8") &&
        !settings.wants("FlowMoSmall mixed precision training step, batch 8")) {
        return;
    }
    using Lo = FlowMoTrainer<FlowMoSmall, Cuda>;
    Lo trainer({}, [](auto& model) { model.initialize(1); });
    const auto images = Lo::Images::zeros({8, 3, 256, 256});
    const auto step = [&] { static_cast<void>(trainer.step(images)); };
    if (!settings.brief) {
        measure("FlowMoSmall F32 training step, batch 8", 8.0, "images/s", step);
    }
    const Bf16Products products;
    measure("FlowMoSmall mixed precision training step, batch 8", 8.0, "images/s", step);
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--short") {
            settings.brief = true;
        } else if (argument == "--only" && i + 1 < argc) {
            settings.only = argv[++i];
        } else if (argument == "--part" && i + 1 < argc) {
            settings.part = argv[++i];
        } else {
            std::fprintf(stderr, "usage: gpu [--only TEXT] [--short] [--part kernels|models]\n");
            return 2;
        }
    }
    if (!Cuda::available()) {
        std::puts("skipped: no CUDA device");
        return 77;
    }
    try {
        std::puts("| what | ms | rate | MiB |\n| --- | ---: | ---: | ---: |");
        if (settings.part != "models") {
            matrix_products(DType::bf16);
            attentions();
            row_operations(DType::bf16);
            convolutions(DType::bf16);
            matrix_products(DType::f32);
            row_operations(DType::f32);
        }
        if (settings.part != "kernels") {
            flowmo<bf16>("BF16");
            far_samples<FarB, bf16>("BF16");
            training();
            vae<bf16>("BF16");
            if (!settings.brief) {
                far_samples<FarL, bf16>("BF16");
                flowmo<float>("F32");
            }
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "gpu: %s\n", error.what());
        return 1;
    }
}
