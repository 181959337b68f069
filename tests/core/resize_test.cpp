#include "flowfar/core/images/resize.hpp"

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"

#include "gradient_check.hpp"
#include "perceptual/fixture.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("resized images are those of PyTorch, Pillow and TensorFlow 1") {
    using Images = Tensor<Cpu, Shape<dyn, 3, dyn, dyn>>;
    const Fixture fixture("resize");
    const auto x = filled<Images>("resize", {1, 3, 37, 50});
    for (const auto& [height, width] : {std::pair<Index, Index>{23, 31}, {37, 64}, {80, 50}, {7, 9}}) {
        const std::string size = text(".", height, "x", width);
        const auto close = [&](const std::string& name, Resize method, double bound) {
            const auto y = resize(x, height, width, method);
            CHECK(y.extents() == Extents{1, 3, height, width});
            fixture.close(name + size, y, bound);
        };
        close("bilinear", Resize::bilinear, 1e-6);
        close("bilinear_antialiased", Resize::bilinear_antialiased, 1e-6);
        close("bicubic_antialiased", Resize::bicubic_antialiased, 1e-6);
        close("bicubic_pillow", Resize::bicubic_antialiased, 1e-6);
        close("bilinear_corner", Resize::bilinear_corner, 5e-6);  // recorded with positions in float
    }
}

TEST_CASE("gradients of resizing") {
    using Images = Tensor<Tape, Shape<dyn, dyn, dyn, dyn>, double>;
    for (const Resize method :
         {Resize::bilinear, Resize::bilinear_antialiased, Resize::bilinear_corner, Resize::bicubic_antialiased}) {
        check_gradient(text("resize by method ", static_cast<int>(method)),
                       [=](const auto& v) { return resize(Images(v[0]), 3, 7, method).handle(); },
                       {random_handle({2, 1, 5, 4}, 31)});
    }
}
