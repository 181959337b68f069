#include "suites/attention.hpp"

#include "flowfar/backend/cpu/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: attention") {
    check_attention<Cpu>(DType::f32);
}
TEST_CASE("cpu: attention on bf16 tensors") {
    check_attention<Cpu>(DType::bf16);
}
TEST_CASE("cpu: attention on views") {
    check_attention_views<Cpu>(DType::f32);
    check_attention_views<Cpu>(DType::bf16);
}
TEST_CASE("cpu: attention whose heads share keys, and with masks of keys") {
    check_grouped_and_masked_attention<Cpu>(DType::f32);
    check_grouped_and_masked_attention<Cpu>(DType::bf16);
    check_grouped_and_masked_attention<Cpu>(DType::f64);
}
TEST_CASE("cpu: attention with extreme logits") {
    check_attention_range<Cpu>();
}
TEST_CASE("cpu: attention with shared keys and with a bias") {
    check_shared_and_biased_attention<Cpu>();
}
TEST_CASE("cpu: a query that sees no key gives zeros and gets no gradient") {
    const Handle q = Cpu::normal({1, 1, 5, 4}, DType::f32, 1, 0);
    const Handle k = Cpu::normal({1, 1, 3, 4}, DType::f32, 2, 0);
    const auto y = Cpu::attention(q, k, k, 1.0, MaskKind::causal);
    const auto d = Cpu::attention_backward(q, k, k, y, q, 1.0, MaskKind::causal);
    for (const Handle& h : {y.output, d.query}) {
        const std::vector<double> hidden = values_of<Cpu>(Cpu::slice(h, 2, 0, 2));
        CHECK((hidden == std::vector<double>(8, 0.0)));
    }
}
TEST_CASE("cpu: where all keys are hidden, outputs and gradients are zero") {
    const Handle mask = Cpu::full({2, 5}, DType::i64, 0.0);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        CAPTURE(name_of(dtype));
        const Handle q = Cpu::cast(Cpu::normal({2, 4, 3, 8}, DType::f32, 1, 0), dtype);
        const Handle k = Cpu::cast(Cpu::normal({2, 2, 5, 8}, DType::f32, 2, 0), dtype);
        for (const MaskKind kind : {MaskKind::full, MaskKind::causal}) {
            const auto y = Cpu::attention(q, k, k, 1.0, kind, mask);
            const auto d = Cpu::attention_backward(q, k, k, y, q, 1.0, kind, mask);
            for (const auto& [found, like] : {std::pair{y.output, q}, {d.query, q}, {d.key, k}, {d.value, k}}) {
                CHECK(found.extents() == like.extents());
                CHECK(found.dtype == dtype);
                CHECK((values_of<Cpu>(found) == std::vector<double>(static_cast<std::size_t>(like.count()), 0.0)));
            }
        }
    }
}
TEST_CASE("cpu: attention refuses heads and masks that do not fit") {
    const auto error = [](const Handle& q, const Handle& k, const Handle& mask, bool backward) -> std::string {
        try {
            if (backward) {
                const AttentionResult<Handle> y{q, Cpu::full({1, q.extents()[1], 3, 1}, DType::f32, 0.0)};
                static_cast<void>(Cpu::attention_backward(q, k, k, y, q, 1.0, MaskKind::full, mask));
            } else {
                static_cast<void>(Cpu::attention(q, k, k, 1.0, MaskKind::full, mask));
            }
        } catch (const Error& caught) {
            return caught.what();
        }
        return "no error";
    };
    for (const bool backward : {false, true}) {
        CAPTURE(backward);
        for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
            CAPTURE(name_of(dtype));
            const auto heads = [dtype](Index count) { return Cpu::full({1, count, 3, 8}, dtype, 1.0); };
            for (const auto& [queries, keys] : {std::pair{0, 2}, {2, 0}, {2, 4}, {3, 2}}) {
                CAPTURE(queries);
                CAPTURE(keys);
                CHECK(error(heads(queries), heads(keys), {}, backward).find("do not fit") != std::string::npos);
            }
            CHECK(error(heads(4), heads(2), Cpu::full({1, 2}, DType::i64, 1.0), backward) ==
                  "attention: a mask [1, 2] for keys [1, 2, 3, 8]");
            CHECK(error(heads(4), heads(2), Cpu::full({3}, DType::i64, 1.0), backward) ==
                  "attention: a mask [3] for keys [1, 2, 3, 8]");
            CHECK(error(heads(4), heads(2), Cpu::full({1, 3}, DType::f32, 1.0), backward) ==
                  "attention: a mask of F32, expected I64");
        }
    }
    using Heads = Tensor<Cpu, Shape<dyn, dyn, dyn, 8>>;
    const auto none = Heads::full({1, 0, 3, 8}, 1.0);
    const auto two = Heads::full({1, 2, 3, 8}, 1.0);
    CHECK_THROWS_AS(static_cast<void>(attention(none, two, two, 1.0)), Error);
    static_assert(heads_fit(0, 0) && heads_fit(4, 2) && !heads_fit(0, 2) && !heads_fit(2, 0) && !heads_fit(3, 2));
}
