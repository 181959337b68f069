/// FlowMo's elementary operations against the reference: embeddings, rotary tables, attention, norms, activations.

#include <cmath>
#include <doctest/doctest.h>

#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/nn/embedding.hpp"
#include "flowfar/nn/heads.hpp"
#include "flowfar/nn/norm.hpp"
#include "flowfar/nn/rope.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using A = Autodiff<Tested>;
template <Index... E>
using F = Tensor<A, Shape<E...>>;

/// Backpropagates the recorded cotangent fill("<unit>.cotangent0") through an output.
template <AnyTensor X>
void pull_back(const std::string& unit, const X& out) {
    backward(sum(out * filled<X>(unit + ".cotangent0", out.extents())));
}

/// The rotary angles of the recorded positions for heads of this size.
template <class R, Index HeadSize>
RopeTable<A, HeadSize> table(std::array<Index, 3> axes) {
    const auto ids = R::Config::positions();
    return rope_table<A, HeadSize, float>(axes, std::span<const std::array<Index, 3>>(ids));
}
/// Those of the size rule at a width.
template <class R, Index Width>
RopeTable<A, 16 * Width> table_of_width() {
    return table<R, 16 * Width>({2 * Width, 7 * Width, 7 * Width});
}

/// The table as the reference stores it: [[cos, −sin], [sin, cos]] per token and pair.
template <Index HeadSize>
HostTensor matrices(const RopeTable<A, HeadSize>& angles) {
    const HostTensor cosines = host(angles.cos);
    const HostTensor sines = host(angles.sin);
    HostTensor out{{1, 1, cosines.extents[0], cosines.extents[1], 2, 2}, {}};
    for (std::size_t i = 0; i < cosines.values.size(); ++i) {
        out.values.insert(out.values.end(), {cosines.values[i], -sines.values[i], sines.values[i], cosines.values[i]});
    }
    return out;
}

template <class R>
void check_embedding() {
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    // The reference also takes odd widths (timestep_embedding.odd); no model has one, and ours rejects them.
    const auto t = golden->template tensor<F<dyn>>("t");
    golden->close("timestep_embedding.256", sinusoidal_embedding<256>(t, 1000.0), 1e-5);

    TimeEmbedding<A, R::Config::hidden> embedder;
    golden_parameters(R::parameters, embedder, "time_in");
    const auto x = leaf(golden->template tensor<F<dyn, 256>>("mlp_embedder.x"));
    const auto y = embedder.out_layer(embedder.in_layer(x, Activation::silu));
    golden->close("mlp_embedder.out0", y, 2e-6);
    pull_back("mlp_embedder", y);
    golden->close("mlp_embedder.grad.x", gradient(x), 5e-6);
    golden->close("mlp_embedder.grad.param.in_layer.weight", gradient(embedder.in_layer.weight), 5e-6);
    golden->close("mlp_embedder.grad.param.in_layer.bias", gradient(embedder.in_layer.bias), 5e-6);
    golden->close("mlp_embedder.grad.param.out_layer.weight", gradient(embedder.out_layer.weight), 5e-6);
    golden->close("mlp_embedder.grad.param.out_layer.bias", gradient(embedder.out_layer.bias), 5e-6);
}

template <class R>
void check_rotation() {
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    std::vector<Index> image_ids;
    std::vector<Index> code_ids;
    for (const auto& id : R::Config::positions()) {
        auto& ids = image_ids.empty() && std::ssize(code_ids) < 3 * R::Config::codes ? code_ids : image_ids;
        ids.insert(ids.end(), id.begin(), id.end());
    }
    const auto stored_image_ids = golden->values("img_ids");
    const auto stored_code_ids = golden->values("txt_ids");
    CHECK(std::vector<Index>(stored_image_ids.begin(), stored_image_ids.end()) == image_ids);
    CHECK(std::vector<Index>(stored_code_ids.begin(), stored_code_ids.end()) == code_ids);

    const auto angles = table<R, R::Config::head_size>(R::Config::axes);
    golden->close(text("pe.w", R::Config::first), matrices(table_of_width<R, R::Config::first>()), 1e-7);
    golden->close(text("pe.w", R::Config::second), matrices(table_of_width<R, R::Config::second>()), 1e-7);
    golden->close("double_block.pe", matrices(angles), 1e-7);

    using Q = F<dyn, dyn, dyn, R::Config::head_size>;
    golden->close("rope.q_out", rope(golden->template tensor<Q>("rope.q_in"), angles.cos, angles.sin), 2e-7);
    golden->close("rope.k_out", rope(golden->template tensor<Q>("attention.k"), angles.cos, angles.sin), 2e-7);
}

template <class R>
void check_attention() {
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    constexpr Index size = R::Config::head_size;
    using Q = F<dyn, R::Config::heads, dyn, size>;
    const auto angles = table<R, size>(R::Config::axes);
    const auto q = leaf(golden->template tensor<Q>("attention.q"));
    const auto k = leaf(golden->template tensor<Q>("attention.k"));
    const auto v = leaf(golden->template tensor<Q>("attention.v"));
    const auto attend = [&](double scale) {
        return merge_heads(attention(rope(q, angles.cos, angles.sin), rope(k, angles.cos, angles.sin), v, scale));
    };
    golden->close("attention.out_standard_scale", attend(1.0 / std::sqrt(static_cast<double>(size))), 2e-6);
    const auto y = attend(8.0 / static_cast<double>(size));
    golden->close("attention.out0", y, 2e-6);
    pull_back("attention", y);
    golden->close("attention.grad.q", gradient(q), 5e-6);
    golden->close("attention.grad.k", gradient(k), 5e-6);
    golden->close("attention.grad.v", gradient(v), 5e-6);
}

template <class R>
void check_norms() {
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    using X = F<dyn, dyn, dyn, R::Config::head_size>;
    RmsNorm<A, R::Config::head_size> norm;
    golden_parameters(R::parameters, norm, "rmsnorm");
    const auto x = leaf(golden->template tensor<X>("rmsnorm.x"));
    const auto y = norm(x);
    golden->close("rmsnorm.out0", y, 1e-6);
    pull_back("rmsnorm", y);
    golden->close("rmsnorm.grad.x", gradient(x), 2e-6);
    golden->close("rmsnorm.grad.param.scale", gradient(norm.scale), 2e-6);
    // Near zero the epsilon decides: the only test that tells 1e-6 from 1e-5.
    golden->close("rmsnorm.tiny_out", norm(golden->template tensor<X>("rmsnorm.tiny_in")), 1e-6);

    const auto z = leaf(golden->template tensor<F<dyn, dyn, R::Config::hidden>>("layernorm_noaffine.x"));
    const auto n = layer_norm(z);
    golden->close("layernorm_noaffine.out0", n, 1e-6);
    pull_back("layernorm_noaffine", n);
    golden->close("layernorm_noaffine.grad.x", gradient(z), 2e-6);
}

template <class R>
void check_activations() {
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    const auto x = golden->template tensor<F<dyn>>("act.x");
    golden->close("act.gelu_tanh", gelu_tanh(x), 1e-6);
    golden->close("act.gelu_erf", gelu_erf(x), 1e-6);
    golden->close("act.silu", silu(x), 1e-6);
}

}  // namespace

TEST_CASE("sinusoidal time embedding and its MLP") {
    FlowMoUnits::each([]<class R>() { check_embedding<R>(); });
}
TEST_CASE("rotary tables and rotation") {
    FlowMoUnits::each([]<class R>() { check_rotation<R>(); });
}
TEST_CASE("attention with the softmax scale 8 / head size") {
    FlowMoUnits::each([]<class R>() { check_attention<R>(); });
}
TEST_CASE("RMS norm and layer norm") {
    FlowMoUnits::each([]<class R>() { check_norms<R>(); });
}
TEST_CASE("activations") {
    FlowMoUnits::each([]<class R>() { check_activations<R>(); });
}
