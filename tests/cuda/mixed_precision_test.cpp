// Bf16Products on the CUDA backend: products, convolutions and attention of f32 tensors with bf16 operands.
#include <doctest/doctest.h>

#include "flowfar/backend/precision.hpp"
#include "flowfar/flowmo/train.hpp"

#include "suites/conv.hpp"
#include "twin.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// The numbers of `h` rounded to bf16, as f32.
Handle rounded(const Handle& h) {
    return Cuda::cast(Cuda::cast(h, DType::bf16), DType::f32);
}

Handle draw(const Extents& extents, std::uint64_t seed) {
    return Cuda::normal(extents, DType::f32, seed, 0);
}

/// ‖a − b‖ / ‖b‖.
double distance(const Handle& a, const Handle& b) {
    CHECK(a.dtype == DType::f32);
    return relative_l2(values_of<Cuda>(a), values_of<Cuda>(b));
}

}  // namespace

TEST_CASE("cuda: products with bf16 operands are f32 products of rounded numbers") {
    const Handle x = draw({2, 5, 33}, 1);
    const Handle w = Cuda::permute(draw({17, 33}, 2), {1, 0});  // a transposed weight, as Linear has it
    const Handle bias = draw({17}, 3);
    for (const Activation activation : {Activation::none, Activation::gelu_tanh, Activation::silu}) {
        const GemmOptions options{.alpha = 0.7, .activation = activation};
        const Handle expected = Cuda::gemm(rounded(x), rounded(w), bias, options);
        const Bf16Products products;
        // Products of bf16 numbers are exact in f32: only the order of the sums may differ.
        CHECK(distance(Cuda::gemm(x, w, bias, options), expected) < approx::reduction(33));
    }
    // Batches, one of them repeated; other types are as they were.
    const Handle q = Cuda::permute(draw({2, 4, 3, 8}, 4), {0, 2, 1, 3});
    const Handle k = Cuda::expand(draw({1, 3, 8, 6}, 5), {2, 3, 8, 6});
    const Handle expected = Cuda::gemm(rounded(q), rounded(k), {}, {});
    const Handle wide = Cuda::cast(x, DType::f64);
    const auto exact = values_of<Cuda>(Cuda::gemm(wide, Cuda::cast(w, DType::f64), {}, {}));
    {
        const Bf16Products products;
        CHECK(distance(Cuda::gemm(q, k, {}, {}), expected) < approx::reduction(8));
        CHECK(values_of<Cuda>(Cuda::gemm(wide, Cuda::cast(w, DType::f64), {}, {})) == exact);
        const Bf16Products off(false);
        CHECK(distance(Cuda::gemm(q, k, {}, {}), expected) > 1e-4);
    }
}

TEST_CASE("cuda: convolutions with bf16 operands") {
    const ConvOptions options = ConvOptions::same(3);
    const Handle x = draw({2, 5, 6, 7}, 1);
    const Handle w = draw({4, 5, 3, 3}, 2);
    const Handle g = draw({2, 4, 6, 7}, 3);
    const Handle bias = draw({4}, 4);
    const Handle y = Cuda::conv2d(rounded(x), rounded(w), bias, options);
    const Handle dx = Cuda::conv2d_backward_input(rounded(w), rounded(g), x.extents(), options);
    const Handle dw = Cuda::conv2d_backward_weight(rounded(x), rounded(g), w.extents(), options);
    const Bf16Products products;
    CHECK(distance(Cuda::conv2d(x, w, bias, options), y) < approx::reduction(45));
    CHECK(distance(Cuda::conv2d_backward_input(w, g, x.extents(), options), dx) < approx::reduction(36));
    CHECK(distance(Cuda::conv2d_backward_weight(x, g, w.extents(), options), dw) < approx::reduction(84));
}

TEST_CASE("cuda: attention with bf16 operands and its gradients") {
    const Extents e{2, 3, 20, 32};
    const auto heads = [&](std::uint64_t seed) {
        return Cuda::permute(draw({e[0], e[2], e[1], e[3]}, seed), {0, 2, 1, 3});
    };
    const Handle q = heads(1);
    const Handle k = heads(2);
    const Handle v = heads(3);
    const Handle g = heads(4);
    const double scale = 0.2;
    for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
        const auto y = Cuda::attention(rounded(q), rounded(k), rounded(v), scale, mask);
        const auto d = Cuda::attention_backward(rounded(q), rounded(k), rounded(v), y, rounded(g), scale, mask);
        const Bf16Products products;
        // Probabilities and results are rounded to bf16, too.
        const auto found = Cuda::attention(q, k, v, scale, mask);
        CHECK(distance(found.output, y.output) < approx::bf16);
        CHECK(distance(found.log_sum_exp, y.log_sum_exp) < 1e-5);
        const auto gradients = Cuda::attention_backward(q, k, v, found, g, scale, mask);
        CHECK(distance(gradients.query, d.query) < 2 * approx::bf16);
        CHECK(distance(gradients.key, d.key) < 2 * approx::bf16);
        CHECK(distance(gradients.value, d.value) < 2 * approx::bf16);
    }
}

TEST_CASE("cuda: training with bf16 operands keeps f32 weights and follows training in f32") {
    using Trainer = FlowMoTrainer<FlowMoNano, Cuda>;
    FlowMoTrainOptions options;
    options.adam.learning_rate = 1e-3;
    options.adam.epsilon = 1e-2;
    options.seed = 5;
    const auto prepare = [](auto& model) { copy_parameters(model, noisy_model<FlowMo<FlowMoNano, Cpu>>(3)); };
    Trainer exact(options, prepare);
    Trainer mixed(options, prepare);
    const auto images = clamp(Trainer::Images::normal({2, 3, 16, 16}, 8) * 0.5, -1.0, 1.0);
    for (int step = 0; step < 3; ++step) {
        const FlowMoTrainReport a = exact.step(images);
        const Bf16Products products;
        const FlowMoTrainReport b = mixed.step(images);
        CHECK(b.loss != a.loss);
        CHECK(b.loss == doctest::Approx(a.loss).epsilon(0.01));
        CHECK(b.gradient_norm == doctest::Approx(a.gradient_norm).epsilon(0.02));
    }
    for (const auto& p : parameters(mixed.model())) {
        CHECK(p.dtype() == DType::f32);
    }
}
