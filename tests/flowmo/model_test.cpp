#include "flowfar/flowmo/model.hpp"

#include <doctest/doctest.h>
#include <thread>

#include "flowfar/backend/cpu/cpu.hpp"

namespace {

using namespace flowfar;

/// A small model whose image size is open.
struct OpenNano : FlowMoNano {
    static constexpr std::string_view name = "OpenNano";
    static constexpr Index image_height = dyn;
    static constexpr Index image_width = dyn;
};
using Model = FlowMo<OpenNano, Cpu>;

const Model& model() {
    static const Model m = [] {
        Model fresh;
        fresh.initialize(3);
        return fresh;
    }();
    return m;
}

/// A fresh model's gates are closed to the code; noise opens them.
const Model& noisy_model() {
    static const Model m = [] {
        Model fresh;
        fresh.initialize(1);
        for_each_parameter(fresh, [](const auto& p) {
            const auto noise =
                Cpu::unary({UnaryOp::affine, 0.05, 0.0}, Cpu::normal(p.extents(), DType::f32, fold(2, p.name), 0));
            Cpu::assign(p.value(), Cpu::binary(BinaryOp::add, p.value(), noise));
        });
        return fresh;
    }();
    return m;
}

TEST_CASE("patches hold row, column, channel with the channel fastest, and come back unchanged") {
    constexpr Index p = OpenNano::patch;
    const Index height = 2 * p;
    const Index width = 3 * p;
    const auto image = Model::Images::normal({2, 3, height, width}, 1);
    const auto patches = Model::patchify(image);
    REQUIRE(patches.extents() == Extents{2, 6, 3 * p * p});
    const auto flat = patches.to_host();
    const auto pixels = image.to_host();
    // Patch 4 (row 1, column 1) of image 1, its pixel (1, 2), channel 2.
    const std::size_t found = static_cast<std::size_t>((1 * 6 + 4) * 3 * p * p + (1 * p + 2) * 3 + 2);
    const std::size_t expected = static_cast<std::size_t>(((1 * 3 + 2) * height + p + 1) * width + p + 2);
    CHECK(flat[found] == pixels[expected]);
    CHECK(Model::unpatchify(patches, height, width).to_host() == pixels);
}

TEST_CASE("any height and width divisible by the patch, any number of steps") {
    const Index p = OpenNano::patch;
    for (const auto& [height, width] : {std::pair{p, p}, std::pair{2 * p, 5 * p}, std::pair{7 * p, 3 * p}}) {
        const auto image = clamp(Model::Images::normal({2, 3, height, width}, 4), -1.0, 1.0);
        const Tokens tokens = model().encode(image);
        CHECK(tokens.indices.size() == static_cast<std::size_t>(2 * OpenNano::code_length * tokens.per_token));
        for (const int steps : {1, 2, 7}) {
            const auto again = model().decode(tokens, {.steps = steps}, height, width);
            REQUIRE(again.extents() == image.extents());
            for (const float value : again.to_host()) {
                REQUIRE(value >= -1.0F);
                REQUIRE(value <= 1.0F);
            }
        }
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(model().encode(Model::Images::zeros({1, 3, p + 1, p}))),
                         doctest::Contains("multiples of the patch"), Error);
}

TEST_CASE("the same seed gives the same image, whatever the number of threads") {
    const Index side = 4 * OpenNano::patch;
    const Tokens tokens = model().encode(Model::Images::normal({3, 3, side, side}, 4));
    const int before = Cpu::threads();
    Cpu::set_threads(1);
    const auto one = model().decode(tokens, {.steps = 4, .seed = 9}, side, side).to_host();
    Cpu::set_threads(3);
    const auto three = model().decode(tokens, {.steps = 4, .seed = 9}, side, side).to_host();
    Cpu::set_threads(before);
    const auto other = model().decode(tokens, {.steps = 4, .seed = 10}, side, side).to_host();
    CHECK(one == three);
    CHECK(one != other);
}

TEST_CASE("one const model serves several threads") {
    const Index side = 2 * OpenNano::patch;
    const Tokens tokens = model().encode(Model::Images::normal({1, 3, side, side}, 4));
    const auto expected = model().decode(tokens, {.steps = 3}, side, side).to_host();
    std::vector<std::vector<float>> found(3);
    std::vector<std::thread> users;
    for (auto& result : found) {
        users.emplace_back([&] { result = model().decode(tokens, {.steps = 3}, side, side).to_host(); });
    }
    for (std::thread& user : users) {
        user.join();
    }
    for (const auto& result : found) {
        CHECK(result == expected);
    }
}

TEST_CASE("guidance outside its interval costs nothing and changes nothing") {
    const Index side = 2 * OpenNano::patch;
    const Model& model = noisy_model();
    const Tokens tokens = model.encode(Model::Images::normal({1, 3, side, side}, 4));
    const GuidanceInterval never{0.9991, 0.9992};
    const auto plain = model.decode(tokens, {.steps = 5, .guidance = 1.0}, side, side).to_host();
    const auto outside = model.decode(tokens, {.steps = 5, .guidance = 3.0, .interval = never}, side, side).to_host();
    const auto inside =
        model.decode(tokens, {.steps = 5, .guidance = 3.0, .interval = GuidanceInterval::always()}, side, side);
    CHECK(plain == outside);
    CHECK(plain != inside.to_host());
}

TEST_CASE("sampling computes the modulations of many steps at once and gives the bits of single velocities") {
    const Index side = 2 * OpenNano::patch;
    const Model& model = noisy_model();
    const Tokens tokens = model.encode(Model::Images::normal({2, 3, side, side}, 4));
    const auto code = Model::with_mask(Model::code_of(tokens));
    const auto both = concat<0>(code, Model::null_code(2));
    for (const int steps : {3, 40}) {  // 40 are more than are computed at once
        const ShiftedSchedule schedule(steps, 0.25);
        Model::Images z = Model::Images::normal({2, 3, side, side}, 3);
        for (int i = 0; i < steps; ++i) {
            const double t = schedule.times()[static_cast<std::size_t>(i)];
            const auto pair = model.velocity(concat<0>(z, z), both, Model::Times::full({4}, t));
            const auto without = slice<0>(pair, 2, 4);
            z = z - (without + (slice<0>(pair, 0, 2) - without) * 1.5) * schedule.step(i);
        }
        const FlowMoDecodeOptions options{
            .steps = steps, .guidance = 1.5, .interval = GuidanceInterval::always(), .seed = 3};
        CHECK(model.decode(tokens, options, side, side).to_host() == clamp(z, -1.0, 1.0).to_host());
    }
}

TEST_CASE("a compile-time schedule decodes to the same bits as its run-time twin") {
    const Index side = 2 * OpenNano::patch;
    const Tokens tokens = model().encode(Model::Images::normal({1, 3, side, side}, 4));
    const auto code = Model::code_of(tokens);
    const auto noise = Model::Images::normal({1, 3, side, side}, 3);
    const auto fixed = FlowMoSampler<Model>(model(), {}, ShiftedSteps<5, Power<1, 4>>{})(code, noise);
    const auto open = model().decode(tokens, {.steps = 5, .power = 0.25, .seed = 3}, side, side);
    CHECK(fixed.to_host() == open.to_host());
    const auto even = FlowMoSampler<Model>(model(), {}, ShiftedSteps<5>{})(code, noise);
    CHECK(even.to_host() == model().decode(tokens, {.steps = 5, .power = 1.0, .seed = 3}, side, side).to_host());
    CHECK(even.to_host() != open.to_host());
}

TEST_CASE("the callback sees every step and can stop") {
    const Index side = 2 * OpenNano::patch;
    const Tokens tokens = model().encode(Model::Images::normal({1, 3, side, side}, 4));
    std::vector<double> times;
    const auto stopped = model().decode(tokens, {.steps = 6}, side, side, [&](const Model::Step& step) {
        CHECK(step.steps == 6);
        CHECK(step.state.extents() == step.estimate.extents());
        times.push_back(step.time);
        return step.step < 4;
    });
    CHECK(times.size() == 4);
    CHECK(times[0] > times[3]);
    CHECK(stopped.extents() == Extents{1, 3, side, side});
}

TEST_CASE("wrong input is named") {
    Tokens tokens{1, OpenNano::code_length + 1, 1, OpenNano::context_dim, {}};
    tokens.indices.resize(static_cast<std::size_t>(OpenNano::code_length + 1));
    const Index side = 2 * OpenNano::patch;
    CHECK_THROWS_WITH_AS(static_cast<void>(model().decode(tokens, {}, side, side)),
                         doctest::Contains("OpenNano: expected"), Error);
    const Tokens good = model().encode(Model::Images::zeros({1, 3, side, side}));
    CHECK_THROWS_AS(static_cast<void>(model().decode(good, {.steps = 0}, side, side)), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(model().decode(good, {.interval = {0.5, 0.1}}, side, side)),
                         doctest::Contains("low <= high"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(model().decode(good, {.guidance = std::nan("")}, side, side)),
                         doctest::Contains("guidance"), Error);
}

}  // namespace
