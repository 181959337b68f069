#include "suites/threads.hpp"

#include "flowfar/backend/cpu/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: the number of threads changes no bit") {
    using H = Cpu::Handle;
    const H x = Cpu::normal({300, 700}, DType::f32, 1, 0);
    const H g = Cpu::normal({300, 700}, DType::f32, 2, 0);
    const H gain = Cpu::normal({700}, DType::f32, 3, 0);
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::sum_squares}) {
        for (const unsigned bits : {1U, 2U, 3U}) {
            check_same_for_all_threads<Cpu>("reduce",
                                            [&] { return Cpu::reduce(op, x, Axes{bits}, ReducedAxes::drop); });
        }
    }
    check_same_for_all_threads<Cpu>("softmax", [&] { return Cpu::softmax(x); });
    check_same_for_all_threads<Cpu>("layer norm", [&] { return Cpu::layer_norm(x, gain, gain, {}); });
    check_same_for_all_threads<Cpu>("layer norm's input gradient",
                                    [&] { return Cpu::layer_norm_backward(x, gain, gain, g, {}).input; });
    check_same_for_all_threads<Cpu>("layer norm's gain gradient",
                                    [&] { return Cpu::layer_norm_backward(x, gain, gain, g, {}).scale; });
    const H q = Cpu::normal({2, 3, 257, 64}, DType::f32, 5, 0);
    const auto y = Cpu::attention(q, q, q, 0.125, MaskKind::full);
    check_same_for_all_threads<Cpu>("attention", [&] { return Cpu::attention(q, q, q, 0.125, MaskKind::full).output; });
    check_same_for_all_threads<Cpu>("attention's key gradient",
                                    [&] { return Cpu::attention_backward(q, q, q, y, q, 0.125, MaskKind::full).key; });
    check_same_for_all_threads<Cpu>("gemm", [&] { return Cpu::gemm(x, Cpu::permute(g, {1, 0}), H{}, {}); });
    check_same_for_all_threads<Cpu>("normal", [&] { return Cpu::normal({50001}, DType::f32, 7, 3); });
}
