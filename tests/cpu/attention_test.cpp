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
