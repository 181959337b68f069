// Gradients by hand: fits a line to noisy points.  Usage: 02_autodiff [auto|cpu|cuda]

#include <cstdio>
#include <flowfar/autodiff.hpp>
#include <flowfar/devices.hpp>

namespace ff = flowfar;

template <class Device>
int run() {
    // Autodiff<Device> computes like Device and remembers how, for tensors that depend on a leaf.
    using Tape = ff::Autodiff<Device>;
    using Number = ff::Tensor<Tape, ff::Shape<>>;
    using Points = ff::Tensor<Tape, ff::Shape<200>>;

    // y = 3 x - 1, and some noise.
    const auto x = Points::normal({200}, 1);
    const auto y = x * 3.0 - 1.0 + Points::normal({200}, 2) * 0.1;

    double slope = 0.0;
    double offset = 0.0;
    double error = 0.0;
    for (int step = 0; step < 60; ++step) {
        const auto a = ff::leaf(Number::full(slope));
        const auto b = ff::leaf(Number::full(offset));
        const auto loss = ff::mean(ff::square(x * a + b - y));
        ff::backward(loss);  // fills the gradients of the leaves and consumes the graph

        slope -= 0.1 * ff::gradient(a).item();
        offset -= 0.1 * ff::gradient(b).item();
        error = loss.item();
        if (step % 20 == 0) {
            std::printf("step %2d: loss %.4f\n", step, error);
        }
    }
    std::printf("y = %.2f x + %.2f, loss %.4f\n", slope, offset, error);
    return 0;
}

int main(int argc, char** argv) {
    return ff::on_device(argc > 1 ? argv[1] : "auto", []<class Device>() { return run<Device>(); });
}
