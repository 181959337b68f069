#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/nn/embedding.hpp"
#include "flowfar/nn/heads.hpp"
#include "flowfar/nn/mlp.hpp"
#include "flowfar/nn/modulation.hpp"
#include "flowfar/nn/norm.hpp"
#include "flowfar/nn/rope.hpp"
#include "flowfar/nn/sequential.hpp"

namespace {

using namespace flowfar;
using A = Autodiff<Reference>;

template <class B>
struct Nested {
    using Backend = B;
    Linear<B, 3, 4, double> first;
    std::vector<Mlp<B, 4, 8, Activation::silu, double>> blocks = [] {
        std::vector<Mlp<B, 4, 8, Activation::silu, double>> out;
        out.emplace_back();
        out.emplace_back();
        return out;
    }();
    Tensor<B, Shape<5>, double> absent;

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("first", self.first);
        v("blocks", self.blocks);
        v("absent", self.absent);
    }
};

TEST_CASE("parameters are visited in order under dotted names; absent ones are not") {
    Nested<A> module;
    std::vector<std::string> names;
    for_each_parameter(module, [&](const auto& p) { names.push_back(p.name); }, "net");
    CHECK(names == std::vector<std::string>{"net.first.weight", "net.first.bias", "net.blocks.0.0.weight",
                                            "net.blocks.0.0.bias", "net.blocks.0.2.weight", "net.blocks.0.2.bias",
                                            "net.blocks.1.0.weight", "net.blocks.1.0.bias", "net.blocks.1.2.weight",
                                            "net.blocks.1.2.bias"});
    CHECK(parameter_count(module) == 3 * 4 + 4 + 2 * (4 * 8 + 8 + 8 * 4 + 4));
    const Nested<Reference> inference;
    CHECK(parameter_count(inference) == parameter_count(module));
}

TEST_CASE("replacing a parameter checks extents and type, and sharing shares storage") {
    Nested<A> source;
    Nested<Reference> target;
    source.first.initialize(1);
    share_parameters(target, source);
    CHECK(target.first.weight.handle().storage == source.first.weight.handle().value.storage);
    init::constant(source.first.bias, 2.5);
    CHECK(target.first.bias.to_host()[3] == 2.5);
    const auto refs = parameters(source);
    CHECK_THROWS_WITH_AS(refs[0].replace(Reference::full({4, 4}, DType::f64, 0.0)),
                         doctest::Contains("first.weight: expected extents [4, 3] of F64, found [4, 4]"), Error);
    CHECK_THROWS_AS(refs[0].replace(Reference::full({4, 3}, DType::f32, 0.0)), Error);
}

TEST_CASE("copies share weights, clones have their own, and an inference model follows the trained one") {
    Linear<A, 3, 2, double> first;
    first.initialize(1);
    auto copy = first;
    auto own = clone(first);
    const auto ready = inference_model<Linear<Reference, 3, 2, double>>(first);
    init::constant(first.bias, 4.0);
    CHECK(copy.bias.to_host()[0] == 4.0);
    CHECK(ready.bias.to_host()[0] == 4.0);
    CHECK(own.bias.to_host()[0] != 4.0);
    CHECK(own.weight.to_host() == first.weight.to_host());
    CHECK(own.weight.handle().node != nullptr);  // a leaf as well
    CHECK(own.weight.handle().node != first.weight.handle().node);
}

TEST_CASE("parameters without values are errors where they are read, and take no memory") {
    Linear<Reference, 3, 2, double> layer;
    const auto x = Tensor<Reference, Shape<1, 3>, double>::full(1.0);
    CHECK(parameter_count(layer) == 8);
    CHECK_THROWS_WITH_AS((void)layer(x), doctest::Contains(" has no values yet; initialize the model or load it"),
                         Error);
    CHECK_THROWS_AS((void)layer.weight.to_host(), Error);
    CHECK(!layer.weight.defined());
    const auto copy = clone(layer);
    init::constant(layer.weight, 2.0);
    CHECK_THROWS_WITH_AS((void)layer(x), doctest::Contains("a parameter [2] has no values yet"), Error);
    init::constant(layer.bias, 0.5);
    CHECK(layer(x).to_host() == std::vector<double>{6.5, 6.5});
    CHECK_THROWS_AS((void)copy(x), Error);
}

TEST_CASE("copies made before the values are there get gradients of their own") {
    using Tape = Autodiff<Reference>;
    Linear<Tape, 3, 2, double> first;
    const auto second = clone(first);
    auto third = first;
    CHECK_THROWS_WITH_AS((void)(inference_model<Linear<Reference, 3, 2, double>>(first)),
                         doctest::Contains("has no values yet"), Error);
    init::constant(first.weight, 2.0);
    init::constant(third.weight, 3.0);
    CHECK(first.weight.handle().node != nullptr);
    CHECK(first.weight.handle().node != second.weight.handle().node);
    CHECK(first.weight.handle().node != third.weight.handle().node);
    CHECK(first.weight.to_host() != third.weight.to_host());
}

TEST_CASE("sequences: layers without parameters count positions, dropout is set for all") {
    Sequential<Reference, Flatten<>, Linear<Reference, 6, 40, double>, Gelu, Dropout, Silu, Tanh, GeluTanh,
               Sequential<Reference, Relu, Dropout>>
        network;
    network.initialize(1);
    std::vector<std::string> names;
    for_each_parameter(network, [&](const auto& p) { names.push_back(p.name); });
    CHECK(names == std::vector<std::string>{"1.weight", "1.bias"});
    const auto x = Tensor<Reference, Shape<dyn, 2, 3>, double>::normal({5, 2, 3}, 1);
    std::vector<std::vector<double>> seen;
    const auto observe = [&](std::size_t, const auto& y) { seen.push_back(y.to_host()); };
    (void)network(x, observe);
    CHECK(seen[3] == seen[2]);  // no dropout
    CHECK(seen[4] == silu(Tensor<Reference, Shape<200>, double>::from_host(seen[3])).to_host());
    CHECK(seen[5] == tanh(Tensor<Reference, Shape<200>, double>::from_host(seen[4])).to_host());
    seen.clear();
    network.set_dropout({0.5, 7});
    (void)network(x, observe);
    const auto zeros = std::ranges::count(seen[3], 0.0);
    CHECK(zeros > 60);
    CHECK(zeros < 140);
    CHECK(std::get<3>(network.layers).seed != std::get<1>(std::get<7>(network.layers).layers).seed);
    CHECK(std::get<1>(std::get<7>(network.layers).layers).rate == 0.5);
}

TEST_CASE("linear layers start as PyTorch's do: uniform within 1/sqrt(fan in), a different stream for each name") {
    Linear<Reference, 400, 300, double> layer;
    layer.initialize(7);
    double sum = 0.0;
    double square = 0.0;
    double largest = 0.0;
    const auto weights = layer.weight.to_host();
    for (const double w : weights) {
        sum += w;
        square += w * w;
        largest = std::max(largest, std::fabs(w));
    }
    const auto n = static_cast<double>(weights.size());
    const double bound = 1.0 / 20.0;
    CHECK(largest < bound);
    CHECK(largest > 0.99 * bound);
    CHECK(std::fabs(sum / n) < 4 * bound / std::sqrt(3.0 * n));
    CHECK(square / n == doctest::Approx(bound * bound / 3).epsilon(0.02));
    CHECK(std::fabs(layer.bias.to_host()[0]) < bound);
    CHECK(layer.bias.to_host()[0] != weights[0]);
    Linear<Reference, 400, 300, double> again;
    again.initialize(7);
    CHECK(again.weight.to_host() == weights);
}

TEST_CASE("normal and Xavier initialization have the promised spread") {
    auto table = make_parameter<Tensor<Reference, Shape<200, 100>, double>>();
    init::normal(table, 0.02, 3);
    CHECK(std::sqrt(sum_squares(table).item() / 20000) == doctest::Approx(0.02).epsilon(0.03));
    init::xavier_uniform(table, 3);
    CHECK(sum_squares(table).item() / 20000 == doctest::Approx(2.0 / 300).epsilon(0.03));
}

TEST_CASE("the sinusoidal embedding has cosines first and frequencies from 1 to nearly 1/10000") {
    using Times = Tensor<Reference, Shape<dyn>, double>;
    const auto e = sinusoidal_embedding<8>(Times::from_host(std::vector<double>{0.0, 0.5}, {2}), 10.0).to_host();
    CHECK(std::vector<double>(e.begin(), e.begin() + 8) == std::vector<double>{1, 1, 1, 1, 0, 0, 0, 0});
    for (int i = 0; i < 4; ++i) {
        const double angle = 5.0 * std::pow(10000.0, -i / 4.0);
        CHECK(e[static_cast<std::size_t>(8 + i)] == doctest::Approx(std::cos(angle)).epsilon(1e-6));
        CHECK(e[static_cast<std::size_t>(12 + i)] == doctest::Approx(std::sin(angle)).epsilon(1e-6));
    }
}

TEST_CASE("rotary tables cut the channels among the axes") {
    const std::vector<std::array<Index, 2>> ids{{0, 0}, {3, 5}};
    const auto table = rope_table<Reference, 6, double, 2>({2, 4}, std::span<const std::array<Index, 2>>(ids));
    const auto cosines = table.cos.to_host();
    CHECK(cosines[0] == 1.0);
    CHECK(cosines[3] == doctest::Approx(std::cos(3.0)));
    CHECK(cosines[4] == doctest::Approx(std::cos(5.0)));
    CHECK(cosines[5] == doctest::Approx(std::cos(5.0 * std::pow(10000.0, -0.5))));
    CHECK(table.sin.to_host()[5] == doctest::Approx(std::sin(5.0 * std::pow(10000.0, -0.5))));
}

TEST_CASE("heads are split from a packed projection without copying and merge back") {
    using X = Tensor<Reference, Shape<dyn, dyn, 24>, double>;
    const auto packed = X::normal({2, 5, 24}, 1);
    const auto heads = split_heads<2>(packed);
    CHECK(heads.key.extents() == Extents{2, 2, 5, 4});
    CHECK(heads.key.handle().storage == packed.handle().storage);
    // Element d of head h of the key of token t of image b is column 8 + 4h + d.
    const auto key = heads.key.to_host();
    const auto flat = packed.to_host();
    CHECK(key[((1 * 2 + 1) * 5 + 3) * 4 + 2] == flat[(1 * 5 + 3) * 24 + 8 + 4 + 2]);
    const auto merged = merge_heads(heads.value).to_host();
    for (std::size_t row = 0; row < 10; ++row) {
        for (std::size_t column = 0; column < 8; ++column) {
            CHECK(merged[row * 8 + column] == flat[row * 24 + 16 + column]);
        }
    }
}

TEST_CASE("modulation cuts its projection into vectors, and gates scale per sample") {
    Modulation<Reference, 4, 3, double> modulation;
    modulation.lin.initialize(2);
    const auto vec = Tensor<Reference, Shape<dyn, 4>, double>::normal({2, 4}, 5);
    const auto chunks = modulation(vec);
    const auto all = modulation.lin(silu(vec)).to_host();
    CHECK(chunks[2].to_host()[5] == doctest::Approx(all[12 + 8 + 1]));
    Linear<Reference, 4, 4, double> linear;
    linear.initialize(3);
    using X = Tensor<Reference, Shape<dyn, dyn, 4>, double>;
    const auto x = X::normal({2, 3, 4}, 6);
    const auto y = X::normal({2, 3, 4}, 7);
    const std::size_t i = (1 * 3 + 2) * 4 + 1;
    const double term = linear(y).to_host()[i];
    CHECK(linear.add(x, chunks[2], y).to_host()[i] == doctest::Approx(x.to_host()[i] + chunks[2].to_host()[5] * term));
    CHECK(linear.add(x, std::remove_cvref_t<decltype(chunks[2])>(), y).to_host()[i] ==
          doctest::Approx(x.to_host()[i] + term));
}

TEST_CASE("an MLP is two linear layers around its activation, and learns through both") {
    Mlp<A, 4, 8, Activation::gelu_tanh, double> mlp;
    mlp.initialize(1);
    const auto x = Tensor<A, Shape<dyn, 4>, double>::normal({3, 4}, 2);
    const auto y = mlp(x);
    CHECK(y.to_host() == mlp.down(gelu_tanh(mlp.up(x))).to_host());
    backward(sum_squares(y));
    CHECK(sum_squares(gradient(mlp.up.weight)).item() > 0.0);
    CHECK(sum_squares(gradient(mlp.down.bias)).item() > 0.0);
}

}  // namespace
