/// One const FlowMo, used from several threads at once: each gets what it would get alone.

#include <cstddef>
#include <doctest/doctest.h>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/flowmo/model.hpp"

#include "at_once.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using flowfar::testing::at_once;
using flowfar::testing::TempDir;

namespace {

template <class T>
using Model = FlowMo<FlowMoTiny, Cpu, T>;

template <class T>
void check(const Model<T>& model) {
    constexpr int users = 4;
    const auto images = [](int user) {
        const auto noise = Model<T>::Images::normal({1 + user % 2, 3, 32, 32}, static_cast<std::uint64_t>(user));
        return clamp(noise, -1.0, 1.0);
    };
    const auto decode = [&](const Tokens& tokens, int user) {
        return model.decode(tokens, {.steps = 2 + user % 2, .seed = static_cast<std::uint64_t>(user)}).to_host();
    };
    std::vector<Tokens> tokens;
    std::vector<std::vector<T>> decoded;
    for (int user = 0; user < users; ++user) {
        tokens.push_back(model.encode(images(user)));
        decoded.push_back(decode(tokens.back(), user));
    }
    const auto wrong = at_once(users, 3, [&](int user) {
        const auto at = static_cast<std::size_t>(user);
        const Tokens mine = model.encode(images(user));
        return mine.indices == tokens[at].indices && decode(mine, user) == decoded[at];
    });
    CHECK(wrong == std::vector<int>(users));
}

template <class T>
Model<T> fresh() {
    Model<T> model;
    model.initialize(3);
    return model;
}

}  // namespace

TEST_CASE("FlowMoTiny encodes and decodes in several threads as in one") {
    check<float>(fresh<float>());
}

TEST_CASE("FlowMoTiny with bf16 weights encodes and decodes in several threads as in one") {
    check<bf16>(fresh<bf16>());
}

TEST_CASE("FlowMoTiny with its weights in a file encodes and decodes in several threads as in one") {
    const TempDir folder;
    const io::Path path = folder / "model.safetensors";
    auto source = fresh<float>();
    io::save_parameters(source, path, DType::f32);
    Model<float> model;
    REQUIRE(io::map_parameters(model, path) > 0);
    check<float>(model);
}
