/// One const FlowMo, used from several threads at once: each gets what it would get alone.

#include <cstddef>
#include <doctest/doctest.h>
#include <vector>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/flowmo/model.hpp"

#include "at_once.hpp"

using namespace flowfar;
using flowfar::testing::at_once;

using Model = FlowMoModel<FlowMoTiny, Cpu>;

TEST_CASE("FlowMoTiny encodes and decodes in several threads as in one") {
    constexpr int users = 4;
    const Model model = [] {
        Model fresh;
        fresh.initialise(3);
        return fresh;
    }();
    const auto images = [](int user) {
        return clamp(Model::Images::normal({1 + user % 2, 3, 32, 32}, static_cast<std::uint64_t>(user)), -1.0, 1.0);
    };
    const auto decode = [&](const Tokens& tokens, int user) {
        return model.decode(tokens, {.steps = 2 + user % 2, .seed = static_cast<std::uint64_t>(user)}).to_host();
    };
    std::vector<Tokens> tokens;
    std::vector<std::vector<float>> decoded;
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
