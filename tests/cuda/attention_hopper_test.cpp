// Attention with warpgroup products against the reference backend, and on a device against the portable engine.
#include "flowfar/backend/cuda/kernels/attention/attention_hopper.cuh"

#include "flowfar/backend/cuda/cuda.hpp"

#include "hopper_device.hpp"
#include "suites/attention.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

AttentionResult<Handle> attention(const Handle& q, const Handle& k, const Handle& v, double scale, MaskKind mask) {
    const Extents& e = q.extents();
    const auto rows = [](const Handle& h) {
        return cuda::HeadRows<const bf16>{h.data<bf16>(), h.layout.stride(0), h.layout.stride(1), h.layout.stride(2)};
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const Handle out = Cuda::full(e, DType::bf16, nan);  // what is not written shows
    const Handle log_sum_exp = Cuda::full({e[0], e[1], e[2], 1}, DType::f32, nan);
    cuda::AttentionForward<bf16> arguments{};
    arguments.query = rows(q);
    arguments.key = rows(k);
    arguments.value = rows(v);
    arguments.output = {out.data<bf16>(), out.layout.stride(0), out.layout.stride(1), out.layout.stride(2)};
    arguments.log_sum_exp = log_sum_exp.data<float>();
    arguments.heads = static_cast<int>(e[1]);
    arguments.queries = static_cast<int>(e[2]);
    arguments.keys = static_cast<int>(k.extents()[2]);
    arguments.width = static_cast<int>(e[3]);
    arguments.scale = static_cast<float>(scale);
    arguments.causal = mask == MaskKind::causal;
    cuda::launch_attention_hopper(arguments, e[0]);
    return {out, log_sum_exp};
}

}  // namespace

TEST_CASE("cuda: attention with warpgroups") {
    const HopperDevice device;
    if (!device.there()) {
        return;
    }
    Maker<Cuda> make(DType::bf16, 521);
    struct Size {
        Index batch, heads, queries, keys, depth;
    };
    std::vector<Size> sizes = {{1, 1, 1, 1, 64},    {2, 1, 31, 33, 64},   {1, 2, 65, 130, 96},  {1, 1, 130, 300, 96},
                               {1, 1, 129, 65, 96}, {1, 1, 33, 520, 128}, {1, 1, 200, 257, 64}, {1, 2, 130, 31, 72},
                               {1, 1, 70, 140, 32}, {1, 1, 20, 0, 64},    {1, 1, 300, 129, 128}};
    if (on_device) {
        for (const Index depth : {64, 72, 96, 128}) {
            for (const Index length : {1, 63, 64, 65, 127, 128, 129, 300}) {
                sizes.push_back({1, 2, length, 300 - length / 2, depth});
            }
        }
    }
    for (const Size& size : sizes) {
        const auto q = make.uniform({size.batch, size.heads, size.queries, size.depth}, -2.0, 2.0);
        const auto k = make.uniform({size.batch, size.heads, size.keys, size.depth}, -2.0, 2.0);
        const auto v = make.uniform({size.batch, size.heads, size.keys, size.depth});
        for (const double scale : {0.125, 0.0}) {
            for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
                const auto found = attention(q.tested, k.tested, v.tested, scale, mask);
                const auto expected = Reference::attention(q.exact, k.exact, v.exact, scale, mask);
                const std::string what = text("queries ", q.extents(), ", keys ", k.extents(), ", scale ", scale,
                                              mask == MaskKind::causal ? ", causal" : "");
                check_handles<Cuda>(what, {found.output}, {expected.output}, DType::bf16, 2.0 * approx::bf16,
                                    make.seed());
                // The reference gives a query that sees no key a large negative number.
                const std::vector<double> logs = values_of<Cuda>(found.log_sum_exp);
                const std::vector<double> exact = values_of<Reference>(expected.log_sum_exp);
                for (std::size_t i = 0; i < logs.size(); ++i) {
                    INFO(what);
                    CHECK((exact[i] < -1e20 ? logs[i] == -std::numeric_limits<double>::infinity()
                                            : std::fabs(logs[i] - exact[i]) < 1e-4));
                }
            }
        }
    }
}

TEST_CASE("cuda: attention with warpgroups gives the same bits again, and the portable engine's to bf16's accuracy") {
    const HopperDevice device;
    if (!device.there()) {
        return;
    }
    for (const Index depth : {64, 96, 128}) {
        const Index tokens = on_device ? 4352 : 140;
        const Extents e{1, on_device ? 12 : 1, tokens, depth};
        const Handle q = Cuda::normal(e, DType::bf16, 1, 0);
        const Handle k = Cuda::normal(e, DType::bf16, 2, 0);
        const Handle v = Cuda::normal(e, DType::bf16, 3, 0);
        const auto first = values_of<Cuda>(attention(q, k, v, 0.1, MaskKind::full).output);
        for (int i = 0; i < (on_device ? 50 : 2); ++i) {
            CHECK((values_of<Cuda>(attention(q, k, v, 0.1, MaskKind::full).output) == first));
        }
        CHECK(difference_of(first, values_of<Cuda>(Cuda::attention(q, k, v, 0.1, MaskKind::full).output), 0.02) == "");
    }
}

TEST_CASE("cuda: warpgroups serve attention where they were chosen and agree with the portable engine") {
    const HopperDevice device;
    using cuda::AttentionKernels;
    CHECK(cuda::chosen_attention() == AttentionKernels::portable);  // until it has been measured
    CHECK(cuda::attention_kernels_for(64) == AttentionKernels::portable);
    cuda::choose_attention(AttentionKernels::warpgroups);
    CHECK(cuda::attention_kernels_for(136) == AttentionKernels::portable);
    CHECK(cuda::attention_kernels_for(12) == AttentionKernels::portable);
    if (!device.there()) {
        CHECK(cuda::attention_kernels_for(64) == AttentionKernels::portable);
        return;
    }
    for (const Index depth : {64, 72, 96, 128}) {
        CHECK(cuda::attention_kernels_for(depth) == AttentionKernels::warpgroups);
    }
    const Handle q = Cuda::normal({1, 2, 70, 64}, DType::bf16, 1, 0);
    const auto same = attention(q, q, q, 0.1, MaskKind::causal);
    CHECK((values_of<Cuda>(Cuda::attention(q, q, q, 0.1, MaskKind::causal).output) == values_of<Cuda>(same.output)));
    if (device.give_wrong_products()) {
        CHECK(cuda::attention_kernels_for(64) == AttentionKernels::portable);
        CHECK(difference_of(values_of<Cuda>(Cuda::attention(q, q, q, 0.1, MaskKind::causal).output),
                            values_of<Cuda>(same.output), 0.02) == "");
    }
}

TEST_CASE("cuda: shapes of the warpgroup engine's tiles") {
    for (const int depth : {64, 96, 128}) {
        CHECK(cuda::hopper::padded_depth(depth) == depth);
        CHECK(cuda::hopper::shared_bytes(depth) <= 227 * 1024);
        CHECK(depth % cuda::page_columns(depth) == 0);
    }
    CHECK(cuda::hopper::padded_depth(72) == 96);
    CHECK(cuda::hopper::padded_depth(12) == 0);
}
