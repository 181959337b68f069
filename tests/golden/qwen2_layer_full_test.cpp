/// One layer of Qwen2 at the published size.

#include <doctest/doctest.h>

#include "flowfar/qwen2/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "golden_qwen2.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("one layer of Qwen2-1.5B") {
    using Model = Qwen2<Qwen2LayerGolden, Tested>;
    const auto golden = Golden::find("qwen2_layer_full");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("qwen2_layer_full", model);
    const auto x = filled<Model::Sequence>("qwen2.embeds", {1, 12, 1536}, 0.0, 0.5);
    golden->close("before_norm", model.blocks[0](x, Model::surroundings(1, 12, {})), 1e-5);
    golden->close("last_hidden_state", model.encode(x), 1e-5);
}
