/// Qwen2 against the reference implementation: hidden states, angles, three forms of masks.

#include <doctest/doctest.h>

#include "flowfar/qwen2/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "golden_qwen2.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("hidden states without mask, with padding on the right, and between prefix and text") {
    using Model = Qwen2<Qwen2TinyGolden, Tested>;
    const auto golden = Golden::find("qwen2_tiny");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("qwen2_tiny", model);
    const std::vector<Index> ids = golden->integers("ids");
    const auto embedded = model.embed(ids, 2);
    golden->close("embedded", embedded, 1e-7);
    for (const char* run : {"plain", "right", "left"}) {
        CAPTURE(run);
        const bool masked = std::string_view(run) != "plain";
        const std::vector<Index> mask = masked ? golden->integers(text(run, ".mask")) : std::vector<Index>{};
        const auto around = Model::surroundings(2, 24, mask);
        auto x = embedded;
        for (std::size_t i = 0; i < model.blocks.size(); ++i) {
            x = model.blocks[i](x, around);
            golden->close(i + 1 == model.blocks.size() ? text(run, ".before_norm") : text(run, ".layer", i + 1), x,
                          1e-5);
        }
        golden->close(text(run, ".last_hidden_state"), model(ids, 2, mask), 1e-5);
        typename Model::Keys keys(model.blocks.size());
        golden->close(text(run, ".last_hidden_state"), model.encode(embedded, around, keys), 1e-5);
    }
    std::vector<Index> far_positions;
    for (Index i = 424; i < 432; ++i) {
        far_positions.push_back(i);
    }
    const auto near = Model::surroundings(1, 24, {}).positions;
    const auto far = rope_half_table<Tested, 16>(far_positions, 1e6);
    const auto twice = [](const auto& half) { return concat<1>(half, half); };
    golden->close("rope.cos", twice(near.cos), 1e-6);
    golden->close("rope.sin", twice(near.sin), 1e-6);
    golden->close("rope.cos_at_424", twice(far.cos), 2e-5);
    golden->close("rope.sin_at_424", twice(far.sin), 2e-5);
}

TEST_CASE("a row that begins with padding, a token beyond the table and a mask of another size are refused") {
    using Model = Qwen2<Qwen2TinyGolden, Tested>;
    const auto error = [](std::vector<Index> ids, std::vector<Index> mask) -> std::string {
        try {
            static_cast<void>(Model::random(1)(ids, 1, mask));
        } catch (const Error& caught) {
            return caught.what();
        }
        return "no error";
    };
    CHECK(error({1, 2}, {0, 1}) == "Qwen2TinyGolden: row 0 begins with a masked token, which would attend to nothing");
    CHECK(error({1, 512}, {}) ==
          "Qwen2TinyGolden: token 512, expected 0 to 511; does the tokenizer belong to this model?");
    CHECK(error({1, 2}, {1}) == "Qwen2TinyGolden: a mask of 1 for 1 rows of 2 tokens");
    CHECK(error({1, 2}, {1, 0}) == "no error");
}
