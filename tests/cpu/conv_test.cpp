#include "suites/conv.hpp"

#include "flowfar/backend/cpu/cpu.hpp"

#include "instruction_sets.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: convolution") {
    for_all_instruction_sets([] { check_conv2d<Cpu>(DType::f32); });
}
TEST_CASE("cpu: convolution on bf16 tensors") {
    check_conv2d<Cpu>(DType::bf16);
}
TEST_CASE("cpu: group norm") {
    check_group_norm<Cpu>(DType::f32);
    check_group_norm<Cpu>(DType::bf16);
}
TEST_CASE("cpu: upsampling") {
    check_upsample<Cpu>(DType::f32);
    check_upsample<Cpu>(DType::bf16);
}
TEST_CASE("the convolution from primitives is the naive one") {
    using Default = Composite<Reference, Handle>;
    Maker<Reference> make(DType::f64, 604);
    for (const ConvOptions& options :
         {ConvOptions{}, ConvOptions::same(3), ConvOptions{2, 0, 0, 1, 1}, ConvOptions{3, 2, 0, 1, 4}}) {
        const Handle x = make.uniform({2, 3, 7, 6}).exact;
        const Handle weight = make.uniform({4, 3, 3, 3}).exact;
        const Handle bias = make.uniform({4}).exact;
        check_handles<Reference>(text("stride ", options.stride), {Default::conv2d(x, weight, bias, options)},
                                 {Reference::conv2d(x, weight, bias, options)}, DType::f64, 1e-14, make.seed());
    }
}
TEST_CASE("cpu: results of convolutions and their gradients do not depend on the number of threads") {
    Maker<Cpu> make(DType::f32, 605);
    const ConvOptions same = ConvOptions::same(3);
    const Handle x = make.uniform({2, 40, 24, 24}).tested;
    const Handle weight = make.uniform({64, 40, 3, 3}).tested;
    const Handle g = make.uniform({2, 64, 24, 24}).tested;
    const Handle gain = make.uniform({40}).tested;
    const int before = Cpu::threads();
    std::vector<std::vector<double>> results;
    for (const int threads : {1, 3}) {
        Cpu::set_threads(threads);
        results.push_back(values_of<Cpu>(Cpu::conv2d_backward_weight(x, g, {64, 40, 3, 3}, same)));
        results.push_back(values_of<Cpu>(Cpu::conv2d_backward_input(weight, g, {2, 40, 24, 24}, same)));
        results.push_back(values_of<Cpu>(Cpu::group_norm_backward(x, gain, x, 8, 1e-6).scale));
        results.push_back(values_of<Cpu>(Cpu::conv2d(x, weight, {}, same)));
    }
    Cpu::set_threads(before);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK((results[i] == results[i + 4]));
    }
    CHECK(difference_of(results[7], results[3], 1e-6) == "");
}
