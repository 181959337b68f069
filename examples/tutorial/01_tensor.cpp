// Tensors whose shapes are types.  Usage: 01_tensor [auto|cpu|cuda]

#include <array>
#include <cstdio>
#include <flowfar/devices.hpp>
#include <flowfar/tensor.hpp>

namespace ff = flowfar;

template <class Device>
int run() {
    // Two rows of three numbers, copied from the host. Elements are f32 unless a third argument names another type.
    using Matrix = ff::Tensor<Device, ff::Shape<2, 3>>;
    const auto x = Matrix::from_host(std::array{1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}, {2, 3});

    // Operations give new tensors. The shorter shape is repeated along the leading axes.
    using Row = ff::Tensor<Device, ff::Shape<3>>;
    const auto offset = Row::from_host(std::array{10.0F, 20.0F, 30.0F}, {3});
    const auto y = x * 2.0 + offset;  // Shape<2, 3>

    // The compiler knows what comes out. matmul(y, y) would not compile: "matmul: the inner extents differ".
    const auto products = ff::matmul(y, ff::transpose(y));  // Shape<2, 2>
    static_assert(decltype(products)::Shape::at(0) == 2 && decltype(products)::Shape::at(1) == 2);

    // Reductions keep the axis with extent 1, so that their results still broadcast.
    const auto centered = y - ff::mean<1>(y);  // Shape<2, 3> - Shape<2, 1>

    // `dyn` leaves an extent to run time. Random numbers are a function of the seed: the same on every device.
    using Batch = ff::Tensor<Device, ff::Shape<ff::dyn, 3>>;
    const auto batch = Batch::normal({1000, 3}, 7);
    const double deviation = ff::sqrt(ff::mean(ff::square(batch))).item();

    // to_host copies the elements back, row by row; item() is the only element.
    std::printf("y =");
    for (const float value : y.to_host()) {
        std::printf(" %g", value);
    }
    std::printf("\nproducts =");
    for (const float value : products.to_host()) {
        std::printf(" %g", value);
    }
    std::printf("\nsum of centered = %g\n", ff::sum(centered).item());
    std::printf("deviation of 1000 x 3 normal numbers = %.2f\n", deviation);
    return 0;
}

int main(int argc, char** argv) {
    return ff::on_device(argc > 1 ? argv[1] : "auto", []<class Device>() { return run<Device>(); });
}
