#include "suites/norm.hpp"

#include "flowfar/backend/cpu/cpu.hpp"

#include "instruction_sets.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: layer norm") {
    check_layer_norm<Cpu>(DType::f32);
    check_layer_norm<Cpu>(DType::bf16);
}
TEST_CASE("cpu: modulated layer norm") {
    check_modulated_layer_norm<Cpu>(DType::f32);
    check_modulated_layer_norm<Cpu>(DType::bf16);
}
TEST_CASE("cpu: RMS norm") {
    check_rms_norm<Cpu>(DType::f32);
    check_rms_norm<Cpu>(DType::bf16);
}
TEST_CASE("cpu: rotary embedding") {
    check_rope<Cpu>(DType::f32);
    check_rope<Cpu>(DType::bf16);
}
TEST_CASE("cpu: rows have the same bits with all instruction sets") {
    const auto numbers = [](const Extents& e, std::uint64_t seed) { return Cpu::normal(e, DType::f32, seed, 0); };
    for (const Index columns : {1, 31, 32, 95, 1152}) {
        const Handle x = numbers({3, 5, columns}, 1);
        const Handle g = numbers({3, 5, columns}, 2);
        const Handle scale = numbers({3, columns}, 3);
        const Handle bias = numbers({columns}, 4);
        const auto results = [&] {
            const auto d = Cpu::layer_norm_backward(x, scale, scale, g, {});
            std::vector<double> out;
            for (const Handle& h :
                 {Cpu::layer_norm(x, scale, bias, {}), Cpu::layer_norm(x, {}, bias, {}), Cpu::rms_norm(x, bias, {}),
                  Cpu::modulated_layer_norm(x, bias, bias, scale, scale, {}), d.input, d.scale, d.shift,
                  Cpu::multiply_add(x, bias, g, FactorKind::plus_one), Cpu::binary(BinaryOp::mul, x, g),
                  Cpu::unary({UnaryOp::affine, 0.3, 0.7}, x),
                  Cpu::reduce(ReduceOp::sum, x, Axes::only(2), ReducedAxes::drop),
                  Cpu::reduce(ReduceOp::sum_squares, x, Axes::only(1), ReducedAxes::drop),
                  Cpu::reduce(ReduceOp::max, x, Axes::only(2), ReducedAxes::drop), Cpu::cast(x, DType::bf16)}) {
                const std::vector<double> values = values_of<Cpu>(h);
                out.insert(out.end(), values.begin(), values.end());
            }
            return out;
        };
        const std::vector<double> widest = results();
        for_all_instruction_sets([&] { CHECK(results() == widest); });
    }
}
