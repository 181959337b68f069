// Times and memory of the CUDA backend: matrix products, attention, row operations, FlowMo and FAR. One Markdown table
// on standard output; medians over several runs of at least 100 ms each.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/precision.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/samplers_cuda/far.hpp"
#include "flowfar/samplers_cuda/flowmo.hpp"

using namespace flowfar;

namespace {

using Clock = std::chrono::steady_clock;

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
    const int times = std::max(1, static_cast<int>(0.1 / once));
    std::vector<double> found;
    for (int round = 0; round < 5; ++round) {
        found.push_back(run(times) / times);
    }
    std::sort(found.begin(), found.end());
    return found[2];
}

/// A row of the table, which benchmarks/peers/compare_gpu.py reads; memory is the most in use during the measurement.
/// `amount` is what one call does: floating-point operations with `unit` "TFLOP/s", bytes with "TB/s", images with
/// "images/s".
void print(const std::string& name, double seconds, double amount, const char* unit) {
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
        const double t = seconds_of([&] { static_cast<void>(Cuda::gemm(x, w, bias, {})); });
        const double work = 2.0 * static_cast<double>(s.rows * s.inner * s.columns);
        print(text("gemm ", name_of(dtype), " ", s.rows, "×", s.inner, "×", s.columns, " with bias"), t, work,
              "TFLOP/s");
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
        const auto y = Cuda::attention(q, k, v, scale, MaskKind::full);
        const double forward = seconds_of([&] { static_cast<void>(Cuda::attention(q, k, v, scale, MaskKind::full)); });
        const std::string sizes = text(s.batch, "×", s.heads, "×", s.tokens, "×", s.depth);
        print(text("attention BF16 ", sizes), forward, work, "TFLOP/s");
        const double backward =
            seconds_of([&] { static_cast<void>(Cuda::attention_backward(q, k, v, y, v, scale, MaskKind::full)); });
        print(text("attention backward BF16 ", sizes), backward, 2.5 * work, "TFLOP/s");
    }
}

void row_operations(DType dtype) {
    const Extents e{8, 4352, 1152};
    const Handle x = draw(e, dtype);
    const Handle g = draw(e, dtype);
    const Handle scale = draw({8, 1152}, dtype);
    const double bytes = static_cast<double>(x.count()) * static_cast<double>(size_of(dtype));
    const std::string type(name_of(dtype));
    print("add " + type, seconds_of([&] { static_cast<void>(Cuda::binary(BinaryOp::add, x, g)); }), 3 * bytes, "TB/s");
    print("gelu " + type, seconds_of([&] { static_cast<void>(Cuda::unary({UnaryOp::gelu_tanh}, x)); }), 2 * bytes,
          "TB/s");
    print("transposed copy " + type,
          seconds_of([&] { static_cast<void>(Cuda::contiguous(Cuda::permute(x, {0, 2, 1}))); }), 2 * bytes, "TB/s");
    print("modulated layer norm " + type,
          seconds_of([&] { static_cast<void>(Cuda::layer_norm(x, scale, scale, {.plus_one = true})); }), 2 * bytes,
          "TB/s");
    print("modulated layer norm backward " + type,
          seconds_of([&] { static_cast<void>(Cuda::layer_norm_backward(x, scale, scale, g, {.plus_one = true})); }),
          3 * bytes, "TB/s");
    print("softmax " + type, seconds_of([&] { static_cast<void>(Cuda::softmax(x)); }), 2 * bytes, "TB/s");
    print("sum over rows " + type,
          seconds_of([&] { static_cast<void>(Cuda::reduce(ReduceOp::sum, x, Axes{3U}, ReducedAxes::drop)); }), bytes,
          "TB/s");
}

template <class T>
void flowmo(const char* type) {
    using Model = FlowMo<FlowMoLo, Cuda, T>;
    Model model;
    model.initialize(1);
    const FlowMoDecodeOptions options{.steps = 25, .guidance = 1.5};
    for (const Index batch : {1, 32}) {
        const auto images = Model::Images::zeros({batch, 3, 256, 256});
        const Tokens tokens = model.encode(images);
        const auto count = static_cast<double>(batch);
        print(text("FlowMoLo ", type, " encode, batch ", batch),
              seconds_of([&] { static_cast<void>(model.encode(images)); }), count, "images/s");
        print(text("FlowMoLo ", type, " decode, 25 steps, batch ", batch),
              seconds_of([&] { static_cast<void>(model.decode(tokens, options)); }), count, "images/s");
        FlowMoGraphSampler<FlowMoLo, T> sampler(model, batch);
        print(text("FlowMoLo ", type, " decode, 25 steps as graphs, batch ", batch),
              seconds_of([&] { static_cast<void>(sampler.decode(tokens, options)); }), count, "images/s");
    }
}

template <class C, class T>
void far_samples(const char* type) {
    using Model = Far<C, Cuda, T>;
    Model model;
    model.initialize(1);
    for (const Index batch : {1, 64}) {
        const FarSampler<Model> sampler(model, {});
        const std::vector<Index> labels(static_cast<std::size_t>(batch), 7);
        print(text(C::name, " ", type, " sample, batch ", batch),
              seconds_of([&] { static_cast<void>(sampler(labels)); }), static_cast<double>(batch), "images/s");
        FarGraphSampler<C, T> recorded(model, {});
        print(text(C::name, " ", type, " sample, steps as graphs, batch ", batch),
              seconds_of([&] { static_cast<void>(recorded(labels)); }), static_cast<double>(batch), "images/s");
    }
}

void training() {
    using Lo = FlowMoTrainer<FlowMoSmall, Cuda>;
    Lo trainer({}, [](auto& model) { model.initialize(1); });
    const auto images = Lo::Images::zeros({8, 3, 256, 256});
    print("FlowMoSmall F32 training step, batch 8", seconds_of([&] { static_cast<void>(trainer.step(images)); }), 8.0,
          "images/s");
    const Bf16Products products;
    print("FlowMoSmall mixed precision training step, batch 8",
          seconds_of([&] { static_cast<void>(trainer.step(images)); }), 8.0, "images/s");
}

}  // namespace

int main() {
    if (!Cuda::available()) {
        std::puts("skipped: no CUDA device");
        return 0;
    }
    std::puts("| what | ms | rate | MiB |\n| --- | ---: | ---: | ---: |");
    matrix_products(DType::bf16);
    matrix_products(DType::f32);
    attentions();
    row_operations(DType::bf16);
    row_operations(DType::f32);
    flowmo<bf16>("BF16");
    flowmo<float>("F32");
    far_samples<FarB, bf16>("BF16");
    far_samples<FarL, bf16>("BF16");
    training();
}
