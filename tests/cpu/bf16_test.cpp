// Products and attention of bf16 operands (Bf16Products, and bf16 tensors): against f32 products of the operands
// rounded beforehand, so that only the order of additions differs.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <utility>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/cpu/kernels/conv/bf16_conv.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

#include "approx.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

Handle random(const Extents& extents, std::uint64_t seed) {
    return Cpu::normal(extents, DType::f32, seed, 0);
}
Handle rounded(const Handle& h) {
    return Cpu::cast(Cpu::cast(h, DType::bf16), DType::f32);
}
std::vector<double> values(const Handle& h) {
    const Handle f = Cpu::cast(h, DType::f64);
    std::vector<double> out(static_cast<std::size_t>(f.count()));
    Cpu::to_host(f, out.data());
    return out;
}
void check(const Handle& found, const Handle& expected, double tolerance) {
    CHECK(found.extents() == expected.extents());
    CHECK(difference_of(values(found), values(expected), tolerance) == "");
}
double largest(const Handle& h) {
    double most = 0.0;
    for (const double value : values(h)) {
        most = std::max(most, std::abs(value));
    }
    return most;
}
template <class F>
auto with_rounding(F&& f) {
    const Bf16Products products;
    return f();
}
bool absent() {
    if (!Cpu::has_bf16_products()) {
        MESSAGE("this CPU has no bf16 products: results are those of f32");
    }
    return !Cpu::has_bf16_products();
}

}  // namespace

TEST_CASE("products round their operands, however they lie in memory") {
    for (const Index rows : {1, 2, 13, 14, 15, 29, 115}) {
        for (const Index inner : {1, 2, 31, 33, 64, 95}) {
            for (const Index columns : {1, 15, 16, 17, 32, 33, 70}) {
                CAPTURE(rows);
                CAPTURE(inner);
                CAPTURE(columns);
                const Handle a = random({rows, inner}, 1);
                const Handle at = Cpu::permute(Cpu::contiguous(Cpu::permute(a, {1, 0})), {1, 0});
                const Handle b = random({inner, columns}, 2);
                const Handle bt = Cpu::permute(Cpu::contiguous(Cpu::permute(b, {1, 0})), {1, 0});
                const Handle expected = absent() ? Cpu::gemm(a, b, {}, {.alpha = 0.5})
                                                 : Cpu::gemm(rounded(a), rounded(b), {}, {.alpha = 0.5});
                const double tolerance = approx::reduction(inner);
                with_rounding([&] {
                    check(Cpu::gemm(a, b, {}, {.alpha = 0.5}), expected, tolerance);
                    check(Cpu::gemm(at, b, {}, {.alpha = 0.5}), expected, tolerance);
                    check(Cpu::gemm(a, bt, {}, {.alpha = 0.5}), expected, tolerance);
                    check(Cpu::gemm(at, bt, {}, {.alpha = 0.5}), expected, tolerance);
                    return 0;
                });
                const auto narrow = [](const Handle& h) { return Cpu::cast(h, DType::bf16); };
                check(Cpu::gemm(narrow(at), narrow(bt), {}, {.alpha = 0.5}), expected, approx::bf16);
            }
        }
    }
}

TEST_CASE("batches, bias and activations") {
    const Handle a = random({3, 2, 37, 50}, 1);
    const Handle b = random({3, 2, 50, 41}, 2);
    const Handle w = random({50, 41}, 3);
    const Handle bias = random({41}, 4);
    for (const Activation act : {Activation::none, Activation::silu, Activation::gelu_tanh, Activation::gelu_erf}) {
        const GemmOptions options{.alpha = 0.1, .activation = act};
        const bool f32 = absent();
        const auto prepared = [f32](const Handle& h) { return f32 ? h : rounded(h); };
        const Handle batched = Cpu::gemm(prepared(a), prepared(b), {}, options);
        const Handle shared = Cpu::gemm(prepared(a), prepared(w), bias, options);
        with_rounding([&] {
            check(Cpu::gemm(a, b, {}, options), batched, 2e-6);
            check(Cpu::gemm(a, w, bias, options), shared, 2e-6);
            check(Cpu::gemm(Cpu::permute(a, {1, 0, 2, 3}), w, bias, options), Cpu::permute(shared, {1, 0, 2, 3}), 2e-6);
            return 0;
        });
    }
    const Handle none = Cpu::empty({0, 50}, DType::f32);
    CHECK(with_rounding([&] { return Cpu::gemm(none, w, {}, {}); }).extents() == Extents{0, 41});
    const Handle zero = with_rounding(
        [&] { return Cpu::gemm(Cpu::empty({5, 0}, DType::f32), Cpu::empty({0, 40}, DType::f32), {}, {}); });
    check(zero, Cpu::full({5, 40}, DType::f32, 0.0), 0.0);
}

TEST_CASE("a row's result does not depend on the other rows, nor on the number of threads") {
    const Handle a = random({130, 200}, 1);
    const Handle b = random({200, 75}, 2);
    const int before = Cpu::threads();
    with_rounding([&] {
        const Handle all = Cpu::gemm(a, b, {}, {});
        for (const Index count : {1, 5, 14, 77}) {
            const Handle part = Cpu::gemm(Cpu::slice(a, 0, 40, 40 + count), b, {}, {});
            CHECK(values(part) == values(Cpu::slice(all, 0, 40, 40 + count)));
        }
        for (const int threads : {1, 3}) {
            Cpu::set_threads(threads);
            CHECK(values(Cpu::gemm(a, b, {}, {})) == values(all));
        }
        return 0;
    });
    Cpu::set_threads(before);
}

TEST_CASE("weights that are used again and again are kept packed, until they change") {
    const Handle x = random({5, 70}, 41);
    const Handle wide = random({90, 140}, 42);
    const std::vector<Handle> views{Cpu::permute(wide, {1, 0}), Cpu::slice(wide, 0, 50, 90),
                                    Cpu::permute(Cpu::slice(wide, 1, 3, 73), {1, 0}), Cpu::slice(wide, 1, 70, 140)};
    const auto fresh = [](const Handle& h) {  // in memory of its own, so packed anew
        return Cpu::from_host(Cpu::contiguous(h).data<float>(), h.extents(), h.dtype);
    };
    const auto check_all = [&] {
        const Bf16Products products;
        for (const Handle& view : views) {
            for (int use = 0; use < 4; ++use) {
                const Handle left = random({3, view.extents()[0]}, 43);
                check(Cpu::gemm(left, view, {}, {}), Cpu::gemm(left, fresh(view), {}, {}), 0.0);
            }
        }
        const Handle kernel = Cpu::reshape(wide, {10, 140, 3, 3});
        const ConvOptions options{1, 1, 1, 1, 1};
        for (int use = 0; use < 4; ++use) {
            const Handle image = random({1, 140, 4, 16}, 45);
            check(Cpu::conv2d(image, kernel, {}, options), Cpu::conv2d(image, fresh(kernel), {}, options), 0.0);
        }
    };
    check_all();
    const Handle other = random({90, 140}, 44);
    SUBCASE("by assignment") {
        Cpu::assign(wide, other);
    }
    SUBCASE("by assignment to a part") {
        Cpu::assign(Cpu::slice(wide, 1, 10, 20), Cpu::slice(other, 1, 10, 20));
    }
    SUBCASE("by addition") {
        Cpu::add_into(wide, other);
    }
    SUBCASE("by averaging") {
        Cpu::lerp(wide, other, 0.5);
    }
    SUBCASE("by the optimizer") {
        const Handle zero = Cpu::full({90, 140}, DType::f32, 0.0);
        Cpu::adam_step(wide, other, zero, Cpu::full({90, 140}, DType::f32, 0.0), {.learning_rate = 0.1, .step = 1});
    }
    check_all();
}

TEST_CASE("results larger than the caches have the bits of their parts") {
    const auto halves = [](const Handle& whole, const Handle& first, const Handle& second, int axis) {
        const Index middle = first.extents()[axis];
        CHECK(values(Cpu::slice(whole, axis, 0, middle)) == values(first));
        CHECK(values(Cpu::slice(whole, axis, middle, whole.extents()[axis])) == values(second));
    };
    with_rounding([&] {
        for (const Index columns : {3072, 3080}) {  // rows of whole cache lines, and others
            const Handle a = random({2200, 32}, 1);
            const Handle b = random({32, columns}, 2);
            const Handle bias = random({columns}, 3);
            const auto part = [&](Index begin, Index end) {
                return Cpu::gemm(Cpu::slice(a, 0, begin, end), b, bias, {});
            };
            halves(part(0, 2200), part(0, 1000), part(1000, 2200), 0);
        }
        for (const Index width : {256, 252}) {
            const Handle x = random({1, 2, 256, width}, 4);
            const Handle w = random({128, 2, 3, 3}, 5);
            const auto part = [&](Index begin, Index end) {
                return Cpu::conv2d(x, Cpu::slice(w, 0, begin, end), {}, ConvOptions::same(3));
            };
            halves(part(0, 128), part(0, 48), part(48, 128), 1);
        }
        return 0;
    });
}

TEST_CASE("what is made for products gives their bits") {
    const auto same = [](const auto& found, const auto& expected) { CHECK(found.to_host() == expected.to_host()); };
    const auto at = [&]<Index Width, Index Inner>(Index batch, Index tokens) {
        CAPTURE(Width);
        CAPTURE(batch);
        CAPTURE(tokens);
        using X = Tensor<Cpu, Shape<dyn, dyn, Width>>;
        using Rows = Tensor<Cpu, Shape<dyn, Width>>;
        using Vector = Tensor<Cpu, Shape<Width>>;
        const X x = X::normal({batch, tokens, Width}, 1);
        const auto scale = Rows::normal({batch, Width}, 2);
        const auto shift = Rows::normal({batch, Width}, 3);
        const auto gain = Vector::normal({Width}, 4);
        const auto up = Tensor<Cpu, Shape<Inner, Width>>::normal({Inner, Width}, 5);
        const auto down = Tensor<Cpu, Shape<Width, Inner>>::normal({Width, Inner}, 6);
        const auto wide = Tensor<Cpu, Shape<Inner>>::normal({Inner}, 7);
        const auto spread = [](const auto& vector) { return reshape<dyn, 1, Width>(vector, vector.extent(0)); };
        const NormOptions modulation{.plus_one = true};
        const auto normal = layer_norm(x, scale, shift, modulation);
        same(linear(layer_norm_packed(x), up, wide), linear(layer_norm(x), up, wide));
        same(linear(layer_norm_packed(x, scale, shift, modulation), up, wide), linear(normal, up, wide));
        same(linear(modulated_layer_norm_packed(x, gain, gain, scale, shift), up, wide),
             linear(modulate(layer_norm(x, gain, gain), spread(scale), spread(shift)), up, wide));
        const auto inner = linear_packed(layer_norm_packed(x, scale, shift, modulation), up, wide, Activation::silu);
        const auto y = linear(linear(normal, up, wide, Activation::silu), down, gain);
        same(linear(inner, down, gain), y);
        same(linear_add(x, Rows(), inner, down, gain), x + y);
        same(linear_add(x, scale, inner, down, gain), multiply_add(y, spread(scale), x));
    };
    const auto everywhere = [&] {
        for (const Index batch : {1, 3}) {
            for (const Index tokens : {1, 31, 150}) {
                at.template operator()<64, 96>(batch, tokens);  // rows with gaps between them, and without
                at.template operator()<96, 160>(batch, tokens);
                at.template operator()<33, 64>(batch, tokens);  // a width that products do not read in place
            }
        }
    };
    everywhere();
    static_cast<void>(absent());
    with_rounding([&] {
        everywhere();
        const Int8Products quantized;
        everywhere();
        return 0;
    });
}

TEST_CASE("attention of rounded queries, keys and values") {
    for (const Index depth : {8, 24, 64, 72, 96, 128}) {
        for (const Index queries : {1, 31, 113, 240}) {
            for (const Index keys : {1, 33, 130, 600}) {
                for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
                    CAPTURE(depth);
                    CAPTURE(queries);
                    CAPTURE(keys);
                    const Handle q = random({2, 3, queries, depth}, 1);
                    const Handle k = random({2, 3, keys, depth}, 2);
                    const Handle v = Cpu::permute(random({2, keys, 3, depth}, 3), {0, 2, 1, 3});
                    const double scale = 8.0 / static_cast<double>(depth);
                    const bool f32 = absent();
                    const auto prepared = [f32](const Handle& h) { return f32 ? h : rounded(h); };
                    const auto expected = Cpu::attention(prepared(q), prepared(k), prepared(v), scale, mask);
                    const auto found = with_rounding([&] { return Cpu::attention(q, k, v, scale, mask); });
                    check(found.output, expected.output, approx::bf16);  // the weights are rounded, too
                    check(found.log_sum_exp, expected.log_sum_exp, 5e-6);

                    const Handle g = random({2, 3, queries, depth}, 4);
                    const auto exact = Cpu::attention_backward(prepared(q), prepared(k), prepared(v), expected,
                                                               prepared(g), scale, mask);
                    const auto gradients =
                        with_rounding([&] { return Cpu::attention_backward(q, k, v, found, g, scale, mask); });
                    if (keys == 1) {  // then these gradients are zero
                        CHECK(largest(gradients.query) < 0.1);
                        CHECK(largest(gradients.key) < 0.1 * static_cast<double>(queries));
                    } else {
                        check(gradients.query, exact.query, 2 * approx::bf16);
                        check(gradients.key, exact.key, 2 * approx::bf16);
                    }
                    check(gradients.value, exact.value, 2 * approx::bf16);
                }
            }
        }
    }
}

TEST_CASE("attention of rounded operands whose heads share keys, with keys hidden") {
    const auto compare = [](Index heads, Index key_heads, Index queries, Index keys, Index depth) {
        CAPTURE(heads);
        CAPTURE(depth);
        constexpr Index batch = 4;
        std::vector<Index> flags(static_cast<std::size_t>(batch * keys), 1);
        for (Index key = 0; key < keys; ++key) {  // the first ones are hidden, the last ones, some, all
            const auto flag = [&](Index row) -> Index& { return flags[static_cast<std::size_t>(row * keys + key)]; };
            flag(0) = key < keys / 3 ? 0 : 1;
            flag(1) = key > keys / 2 ? 0 : 1;
            flag(2) = key % 3 == 1 ? 0 : 1;
            flag(3) = 0;
        }
        const Handle mask = Cpu::from_host(flags.data(), {batch, keys}, DType::i64);
        const bool f32 = absent();
        const auto prepared = [f32](const Handle& h) { return f32 ? h : rounded(h); };
        const Handle q = random({batch, heads, queries, depth}, 1);
        const Handle k = random({batch, key_heads, keys, depth}, 2);
        const Handle v = Cpu::permute(random({batch, keys, key_heads, depth}, 3), {0, 2, 1, 3});
        const Handle g = random({batch, heads, queries, depth}, 4);
        const double scale = 8.0 / static_cast<double>(depth);
        for (const MaskKind kind : {MaskKind::full, MaskKind::causal}) {
            for (const Handle& hidden : {Handle{}, mask}) {
                const auto expected = Cpu::attention(prepared(q), prepared(k), prepared(v), scale, kind, hidden);
                const auto found = with_rounding([&] { return Cpu::attention(q, k, v, scale, kind, hidden); });
                check(found.output, expected.output, approx::bf16);
                check(found.log_sum_exp, expected.log_sum_exp, 5e-6);
                const auto exact = Cpu::attention_backward(prepared(q), prepared(k), prepared(v), expected, prepared(g),
                                                           scale, kind, hidden);
                const auto gradients =
                    with_rounding([&] { return Cpu::attention_backward(q, k, v, found, g, scale, kind, hidden); });
                check(gradients.query, exact.query, 2 * approx::bf16);
                check(gradients.key, exact.key, 2 * approx::bf16);
                check(gradients.value, exact.value, 2 * approx::bf16);
            }
        }
    };
    compare(6, 2, 9, 9, 8);
    compare(4, 1, 130, 131, 32);
    compare(2, 2, 40, 600, 24);
    compare(12, 2, 7, 70, 64);
}

TEST_CASE("convolutions round images and weights") {
    for (const Index kernel : {1, 2, 3, 5}) {
        for (const auto& [stride, width] : {std::pair{1, 30}, std::pair{2, 30}, std::pair{1, 16}, std::pair{1, 48}}) {
            CAPTURE(kernel);
            CAPTURE(stride);
            CAPTURE(width);
            const Handle x = random({2, 17, 9, width}, 1);
            const Handle w = random({37, 17, kernel, kernel}, 2);
            const Handle bias = random({37}, 3);
            ConvOptions options = ConvOptions::same(kernel);
            options.stride = stride;
            options.right -= kernel % 2 == 0 ? 1 : 0;  // the output is as wide as the input
            // Strides and widths that do not suit the bf16 kernel are computed in f32.
            const bool f32 = absent() || stride != 1 || width % 16 != 0;
            const Handle expected =
                f32 ? Cpu::conv2d(x, w, bias, options) : Cpu::conv2d(rounded(x), rounded(w), bias, options);
            const Handle found = with_rounding([&] { return Cpu::conv2d(x, w, bias, options); });
            check(found, expected, approx::reduction(17 * kernel * kernel));
#if defined(FLOWFAR_AVX512_BF16)
            if (!f32) {  // as tile registers would read the image
                const ConvShape shape = ConvShape::of(x.extents(), w.extents(), options);
                const Handle packed = Cpu::empty(shape.output(), DType::f32);
                cpu::Bf16Conv(shape, true).forward(x, w, bias, packed);
                check(packed, found, 0.0);
            }
#endif
        }
    }
}

TEST_CASE("the scope ends, nests and concerns its own thread") {
    const bool before = ProductPrecision::current().rounded;
    {
        const Bf16Products on;
        CHECK(ProductPrecision::current().rounded);
        {
            const Bf16Products off(false);
            CHECK_FALSE(ProductPrecision::current().rounded);
        }
        CHECK(ProductPrecision::current().rounded);
    }
    CHECK(ProductPrecision::current().rounded == before);
}
