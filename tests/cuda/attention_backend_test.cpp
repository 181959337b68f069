#include "flowfar/backend/cuda/cuda.hpp"

#include "suites/attention.hpp"

using namespace flowfar;
using namespace flowfar::testing;

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
TEST_CASE("cuda: attention with extreme logits") {
    check_attention_range<Cuda>();
}
TEST_CASE("cuda: attention in f64 comes from the default definitions") {
    Maker<Cuda> make(DType::f64, 511);
    check_attention_of<Cuda>(make, "f64", make.uniform({1, 2, 5, 8}), make.uniform({1, 2, 7, 8}),
                             make.uniform({1, 2, 7, 8}));
}
