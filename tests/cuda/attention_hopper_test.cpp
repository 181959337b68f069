// Attention with warpgroup products, run by the emulator, against the reference backend.
#include "flowfar/backend/cuda/kernels/attention/attention_hopper.cuh"

#include "suites/attention.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

AttentionResult<Handle> attention(const Handle& q, const Handle& k, const Handle& v, double scale, MaskKind mask) {
    const Extents& e = q.extents();
    const auto empty = [](const Extents& extents, DType dtype) {
        const auto bytes = static_cast<std::size_t>(extents.count()) * size_of(dtype);
        return Handle{contiguous_layout(extents), dtype, cuda::allocate(bytes)};
    };
    const auto rows = [](const Handle& h) {
        return cuda::HeadRows<const bf16>{h.data<bf16>(), h.layout.stride(0), h.layout.stride(1), h.layout.stride(2)};
    };
    const Handle out = empty(e, DType::bf16);
    const Handle log_sum_exp = empty({e[0], e[1], e[2], 1}, DType::f32);
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
    cuda_emulation::device().shared_limit = 227 * 1024;
    Maker<Reference> make(DType::bf16, 521);
    struct Size {
        Index batch, heads, queries, keys, depth;
    };
    const Size sizes[] = {{1, 1, 1, 1, 64},    {2, 1, 31, 33, 64},   {1, 2, 65, 130, 96},  {1, 1, 130, 300, 96},
                          {1, 1, 129, 65, 96}, {1, 1, 33, 520, 128}, {1, 1, 200, 257, 64}, {1, 2, 130, 31, 72},
                          {1, 1, 70, 140, 32}, {1, 1, 20, 0, 64},    {1, 1, 300, 129, 128}};
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
                check_handles<Reference>(what, {found.output}, {expected.output}, DType::bf16, 2.0 * approx::bf16,
                                         make.seed());
                // The reference gives a query that sees no key a large negative number.
                const std::vector<double> logs = values_of<Reference>(found.log_sum_exp);
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

TEST_CASE("cuda: shapes of the warpgroup engine's tiles") {
    for (const int depth : {64, 96, 128}) {
        CHECK(cuda::hopper::padded_depth(depth) == depth);
        CHECK(cuda::hopper::shared_bytes(depth) <= 227 * 1024);
        CHECK(depth % cuda::page_columns(depth) == 0);
    }
    CHECK(cuda::hopper::padded_depth(72) == 96);
    CHECK(cuda::hopper::padded_depth(12) == 0);
    CHECK(!cuda::warpgroup_attention_fits(64, 1.0));  // not chosen before it has been measured
}
