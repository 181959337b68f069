// Attention against the reference backend: every engine but the warpgroups'.
#include "suites/attention.hpp"

#include <array>
#include <set>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/cuda/ops/attention_engine.cuh"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

constexpr int depths[] = {32, 64, 80, 96, 128};

}  // namespace

TEST_CASE("cuda: attention") {
    check_attention<Cuda>(DType::f32);
}
TEST_CASE("cuda: attention on bf16 tensors") {
    check_attention<Cuda>(DType::bf16);
}
TEST_CASE("cuda: attention on views") {
    check_attention_views<Cuda>(DType::f32);
    check_attention_views<Cuda>(DType::bf16);
}
TEST_CASE("cuda: attention whose heads share keys, and with masks of keys") {
    check_grouped_and_masked_attention<Cuda>(DType::f32);
    check_grouped_and_masked_attention<Cuda>(DType::bf16);
}
TEST_CASE("cuda: attention with extreme logits") {
    check_attention_range<Cuda>();
}
TEST_CASE("cuda: attention with shared keys and with a bias") {
    check_shared_and_biased_attention<Cuda>();
}

TEST_CASE("cuda: attention in double precision comes from the default definitions") {
    Maker<Cuda> make(DType::f64, 510);
    check_attention_of<Cuda>(make, "f64", make.uniform({1, 2, 7, 16}), make.uniform({1, 2, 9, 16}),
                             make.uniform({1, 2, 9, 16}));
}

TEST_CASE("cuda: attention of every head size at lengths around the tiles") {
    constexpr std::array<Index, 6> lengths = {1, 31, 33, 65, 130, 128};
    for (const DType dtype : {DType::bf16, DType::f32}) {
        Maker<Cuda> make(dtype, 511);
        std::size_t next = 0;
        for (const Index depth : {32, 64, 72, 80, 96, 104, 128, 136}) {
            for (std::size_t i = 0; i < 3; ++i) {
                const Index queries = lengths[next++ % lengths.size()];
                const Index keys = lengths[(next + next / lengths.size()) % lengths.size()];
                check_attention_of<Cuda>(make, "lengths", make.uniform({1, 2, queries, depth}, -1.5, 1.5),
                                         make.uniform({1, 2, keys, depth}, -1.5, 1.5),
                                         make.uniform({1, 2, keys, depth}));
            }
        }
    }
}

TEST_CASE("cuda: attention with scales of any sign") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        Maker<Cuda> make(dtype, 512);
        const auto q = make.uniform({1, 1, 70, 64}, -1.0, 1.0);
        const auto k = make.uniform({1, 1, 90, 64}, -1.0, 1.0);
        const auto v = make.uniform({1, 1, 90, 64});
        const auto g = make.uniform({1, 1, 70, 64});
        for (const double scale : {-0.5, 0.0, 1.0}) {
            for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
                const double tolerance = 16.0 * approx::of(dtype, 154);
                agree<Cuda>(
                    text("scale ", scale), make, tolerance,
                    [&](auto b, const auto& hq, const auto& hk, const auto& hv, const auto& hg) {
                        const auto y = b.attention(hq, hk, hv, scale, mask);
                        const auto d = b.attention_backward(hq, hk, hv, y, hg, scale, mask);
                        return std::vector{y.output, d.query, d.key, d.value};
                    },
                    q, k, v, g);
            }
        }
    }
}

TEST_CASE("cuda: attention's log-sum-exp") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        Maker<Cuda> make(dtype, 513);
        const auto q = make.uniform({2, 2, 66, 96}, -2.0, 2.0);
        const auto k = make.uniform({2, 2, 131, 96}, -2.0, 2.0);
        for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
            const Handle found = Cuda::attention(q.tested, k.tested, k.tested, 0.3, mask).log_sum_exp;
            const Handle expected = Reference::attention(q.exact, k.exact, k.exact, 0.3, mask).log_sum_exp;
            check_handles<Cuda>("log-sum-exp", {found}, {expected}, DType::f32, 1e-5, make.seed());
            std::vector<Index> keys(2 * 131, 1);
            for (std::size_t key = 1; key < keys.size(); key += 3) {
                keys[key] = 0;
            }
            const auto masked = [&]<class B>(const auto& hq, const auto& hk) {
                return B::attention(hq, hk, hk, 0.3, mask, B::from_host(keys.data(), {2, 131}, DType::i64)).log_sum_exp;
            };
            check_handles<Cuda>(
                "log-sum-exp of the keys that a mask leaves", {masked.template operator()<Cuda>(q.tested, k.tested)},
                {masked.template operator()<Reference>(q.exact, k.exact)}, DType::f32, 1e-5, make.seed());
        }
    }
}

TEST_CASE("cuda: a query that sees no key gives zeros and gets no gradient") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const Index keys : {0, 3}) {
            const Handle q = Cuda::cast(Cuda::normal({1, 2, 140, 32}, DType::f32, 1, 0), dtype);
            const Handle k = Cuda::cast(Cuda::normal({1, 2, keys, 32}, DType::f32, 2, 0), dtype);
            const auto y = Cuda::attention(q, k, k, 1.0, MaskKind::causal);
            const auto d = Cuda::attention_backward(q, k, k, y, q, 1.0, MaskKind::causal);
            for (const Handle& h : {y.output, d.query}) {
                const auto hidden = values_of<Cuda>(Cuda::slice(h, 2, 0, 140 - keys));
                CHECK((hidden == std::vector<double>(hidden.size(), 0.0)));
            }
            for (const double value : values_of<Cuda>(Cuda::slice(y.log_sum_exp, 2, 0, 140 - keys))) {
                CHECK(value == -std::numeric_limits<double>::infinity());
            }
            for (const double value : values_of<Cuda>(d.key)) {
                CHECK(std::isfinite(value));
            }
        }
    }
}

TEST_CASE("cuda: attention gives the same bits again and needs no buffer of queries × keys") {
    constexpr Index tokens = 300;
    constexpr Index depth = 64;
    Maker<Cuda> make(DType::bf16, 514);
    const auto q = make.uniform({1, 2, tokens, depth}).tested;
    const auto k = make.uniform({1, 2, tokens, depth}).tested;
    const auto v = make.uniform({1, 2, tokens, depth}).tested;
    auto& memory = cuda::Memory::instance();
    const std::size_t before = memory.held();
    memory.reset_peak();
    const auto y = Cuda::attention(q, k, v, 0.125, MaskKind::full);
    const std::size_t output = 2 * tokens * depth * 2;
    const std::size_t statistic = 2 * tokens * 4;
    CHECK(memory.peak() - before == output + statistic);
    const auto first = Cuda::attention_backward(q, k, v, y, v, 0.125, MaskKind::full);
    CHECK(memory.peak() - before <= 4 * output + 3 * statistic);
    const auto second = Cuda::attention_backward(q, k, v, y, v, 0.125, MaskKind::full);
    CHECK((values_of<Cuda>(first.query) == values_of<Cuda>(second.query)));
    CHECK((values_of<Cuda>(first.key) == values_of<Cuda>(second.key)));
    CHECK((values_of<Cuda>(first.value) == values_of<Cuda>(second.value)));
}

TEST_CASE("cuda: attention refuses operands that do not fit") {
    const Handle q = Cuda::full({1, 2, 3, 32}, DType::f32, 0.0);
    const Handle k = Cuda::full({1, 2, 3, 64}, DType::f32, 0.0);
    CHECK_THROWS_AS(static_cast<void>(Cuda::attention(q, k, k, 1.0, MaskKind::full)), Error);
    const Handle narrow = Cuda::cast(q, DType::bf16);
    CHECK_THROWS_AS(static_cast<void>(Cuda::attention(q, narrow, narrow, 1.0, MaskKind::full)), Error);
}

TEST_CASE("cuda: shapes of attention's tiles") {
    for (const int depth : depths) {
        CAPTURE(depth);
        CHECK(cuda::padded_depth(depth) == depth);
        CHECK(cuda::padded_depth(depth - 8) >= depth - 8);
        CHECK(cuda::padded_depth(depth + 4) == 0);
        // What every device from sm_80 on gives a block.
        const int limit = 99 * 1024;
        CHECK(cuda::forward_shared_bytes(depth) <= limit / 2);
        for (const cuda::AttentionTileShape shape :
             {cuda::key_gradient_shape(depth), cuda::query_gradient_shape(depth)}) {
            CHECK(cuda::gradient_shared_bytes(depth, shape) <= limit);
            CHECK(shape.threads() <= 1024);
            CHECK(shape.columns % 16 == 0);
        }
    }
    CHECK(cuda::padded_depth(0) == 0);
    CHECK(cuda::padded_depth(8) == 32);
    CHECK(cuda::padded_depth(72) == 80);
    CHECK(cuda::padded_depth(136) == 0);
    CHECK(cuda::attention_engine(DType::bf16, 72) == cuda::AttentionEngine::tensor_core);
    CHECK(cuda::attention_engine(DType::bf16, 5) == cuda::AttentionEngine::scalar);
    CHECK(cuda::attention_engine(DType::f32, 64) == cuda::AttentionEngine::scalar);
    CHECK(cuda::attention_engine(DType::f64, 64) == cuda::AttentionEngine::composite);
}

TEST_CASE("cuda: pieces of attention's tiles never share a bank when they are read together") {
    for (const int depth : depths) {
        CAPTURE(depth);
        const int chunks = depth / 8;
        std::set<int> places;
        for (int row = 0; row < 64; ++row) {
            for (int chunk = 0; chunk < chunks; ++chunk) {
                const int place = cuda::tile_chunk(row, chunk, depth);
                CHECK(place >= 0);
                CHECK(place < 64 * chunks);
                places.insert(place);
            }
        }
        CHECK(places.size() == static_cast<std::size_t>(64 * chunks));
        for (int chunk = 0; chunk < chunks; ++chunk) {  // one ldmatrix phase: a piece of eight neighboring rows
            for (int row = 0; row < 64; row += 8) {
                std::set<int> banks;
                for (int r = 0; r < 8; ++r) {
                    banks.insert(cuda::tile_chunk(row + r, chunk, depth) % 8);
                }
                CHECK(banks.size() == 8);
            }
        }
    }
}
