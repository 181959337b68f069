// Tensors whose shapes are types.  Usage: 01_tensor [auto|cpu|cuda]

#include <cstdio>
#include <flowfar/devices.hpp>
#include <flowfar/tensor.hpp>
#include <iostream>

namespace ff = flowfar;

template <class Device>
int run() {
    // Two rows of three numbers, copied from the host. Elements are f32 unless a third argument names another type.
    using Matrix = ff::Tensor<Device, ff::Shape<2, 3>>;
    const auto x = Matrix::of({{1, 2, 3}, {4, 5, 6}});

    // Operations give new tensors. The shorter shape is repeated along the leading axes.
    using Row = ff::Tensor<Device, ff::Shape<3>>;
    const auto offset = Row::of({10, 20, 30});
    const auto y = x * 2.0 + offset;  // Shape<2, 3>

    // The compiler knows what comes out. matmul(y, y) would not compile: "matmul: the last extent of a
    // must equal the second last of b", and "Mismatch<3, 2>".
    const auto products = ff::matmul(y, ff::transpose(y));  // Shape<2, 2>
    static_assert(decltype(products)::Shape::at(0) == 2 && decltype(products)::Shape::at(1) == 2);

    // Reductions keep the axis with extent 1, so that their results still broadcast; mean<1>(y, ff::drop_axis) does
    // not.
    const auto centered = y - ff::mean<1>(y);  // Shape<2, 3> - Shape<2, 1>

    // `dyn` leaves an extent to run time. Random numbers are a function of the seed: the same on every device.
    using Batch = ff::Tensor<Device, ff::Shape<ff::dyn, 3>>;
    const auto batch = Batch::normal({1000, 3}, 7);
    const double deviation = ff::sqrt(ff::mean(ff::square(batch))).item();

    // Tensors print; at(i, j) is one element, item() the only one, and to_host() all of them as a std::vector.
    std::cout << "y =\n" << y << "\nproducts =\n" << products << "\n";
    std::cout << "y[1, 2] = " << y.at(1, 2) << ", sum of centered = " << ff::sum(centered).item() << "\n";
    std::printf("deviation of 1000 x 3 normal numbers = %.2f\n", deviation);
    return 0;
}

int main(int argc, char** argv) {
    return ff::on_device(argc > 1 ? argv[1] : "auto", []<class Device>() { return run<Device>(); });
}
