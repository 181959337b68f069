#include "flowfar/metrics/ssim.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "flowfar/metrics/psnr.hpp"

#include "fill.hpp"

using flowfar::Index;
using flowfar::metrics::psnr;
using flowfar::metrics::ssim;
using flowfar::metrics::SsimWindow;
using flowfar::metrics::ValueRange;

namespace {

struct Pair {
    std::vector<float> a;
    std::vector<float> b;
};

/// A ramp with a texture, and the same with noise added. Every sum is rounded once, as in the script behind `recorded`.
Pair images(Index channels, Index height, Index width, float noise) {
    const auto count = static_cast<std::size_t>(channels * height * width);
    const std::vector<float> texture = flowfar::testing::fill("metrics.texture", count);
    const std::vector<float> noises = flowfar::testing::fill("metrics.noise", count);
    Pair out{std::vector<float>(count), std::vector<float>(count)};
    for (std::size_t i = 0; i < count; ++i) {
        const Index x = static_cast<Index>(i) % width;
        const Index y = static_cast<Index>(i) / width % height;
        const float ramp = static_cast<float>((3 * x + 5 * y) % 64) / 32.0F - 1.0F;
        out.a[i] = ramp * 0.5F + 0.25F * texture[i];
        out.b[i] = out.a[i] + noise * noises[i];
    }
    return out;
}

/// Values as they are, twice as far from the smallest to the largest: what data_range = 2 means to scikit-image.
constexpr ValueRange two{0, 2};

/// Computed by scikit-image 0.26.0 in double with data_range = 2 and channel_axis = 0. The Gaussian column used
/// gaussian_weights = True, sigma = 1.5, use_sample_covariance = False.
struct Recorded {
    Index channels;
    Index height;
    Index width;
    float noise;
    double psnr;
    double uniform;
    double gaussian;
};

const Recorded recorded[] = {
    {3, 32, 48, 0.25F, 22.8829672465104, 0.826043338662468, 0.805484891226311},
    {1, 11, 11, 0.5F, 16.8728483949059, 0.60805356734875, 0.559624093838441},
    {3, 64, 64, 0.0625F, 34.8262412081306, 0.986161095377484, 0.982289026057844},
    {2, 17, 12, 1.0F, 11.0328093659349, 0.274955238449034, 0.240221246418079},
};

/// [3, 24, 20] of whole numbers 0..255: a texture, and what `kind` makes of it.
Pair byte_images(std::string_view kind) {
    Pair out;
    for (int c = 0; c < 3; ++c) {
        for (int y = 0; y < 24; ++y) {
            for (int x = 0; x < 20; ++x) {
                int a = (x * x * 7 + y * 13 * x + c * 57 + y * y * 3) % 256;
                int b = 0;
                if (kind == "fog") {
                    b = 170 + a / 4;
                } else if (kind == "dark") {
                    b = a / 3;
                } else if (kind == "noise") {
                    b = std::clamp(a + (x * 31 + y * 17 + c * 5) % 41 - 20, 0, 255);
                } else {
                    a = kind == "two grays" ? 64 : 0;
                    b = kind == "two grays" ? 192 : 255;
                }
                out.a.push_back(static_cast<float>(a));
                out.b.push_back(static_cast<float>(b));
            }
        }
    }
    return out;
}

}  // namespace

TEST_CASE("psnr and both conventions of ssim equal scikit-image") {
    for (const Recorded& want : recorded) {
        CAPTURE(want.height);
        const Pair pair = images(want.channels, want.height, want.width, want.noise);
        CHECK(psnr(pair.a, pair.b, 2) == doctest::Approx(want.psnr).epsilon(1e-12));
        const double uniform = ssim(pair.a, pair.b, want.channels, want.height, want.width, two);
        CHECK(std::fabs(uniform - want.uniform) < 1e-12);
        const double gaussian =
            ssim(pair.a, pair.b, want.channels, want.height, want.width, two, SsimWindow::gaussian11);
        CHECK(std::fabs(gaussian - want.gaussian) < 1e-12);
    }
}

TEST_CASE("ssim of bytes and of planes in [-1, 1] equals scikit-image on uint8") {
    // psnr, ssim and its Gaussian column of scikit-image 0.26.0 with data_range = 255 and channel_axis = 2
    struct Case {
        const char* kind;
        double psnr, uniform, gaussian;
    };
    const Case cases[] = {
        {"fog", 8.80950887325176, 0.430861651178705, 0.431127182271313},
        {"dark", 8.24951495840454, 0.359953850216252, 0.359918646548897},
        {"noise", 26.88363351993, 0.98777740373779, 0.987745304304811},
        {"black and white", 0, 9.99900009999e-05, 9.99900009999e-05},
        {"two grays", 5.98660421572174, 0.600063490897227, 0.600063490897227},
    };
    for (const Case& want : cases) {
        CAPTURE(want.kind);
        const Pair bytes = byte_images(want.kind);
        CHECK(psnr(bytes.a, bytes.b, 255) == doctest::Approx(want.psnr).epsilon(1e-12));
        const auto close = [](double found, double expected, double tolerance) {
            CHECK(std::fabs(found - expected) < tolerance);
        };
        const auto measured = [&](const Pair& pair, ValueRange range, double tolerance) {
            close(ssim(pair.a, pair.b, 3, 24, 20, range), want.uniform, tolerance);
            close(ssim(pair.a, pair.b, 3, 24, 20, range, SsimWindow::gaussian11), want.gaussian, tolerance);
        };
        measured(bytes, flowfar::metrics::byte_range, 1e-12);
        Pair planes = bytes;
        for (std::vector<float>* image : {&planes.a, &planes.b}) {
            for (float& value : *image) {
                value = value / 127.5F - 1;  // as images enter a model
            }
        }
        measured(planes, flowfar::metrics::signed_unit_range, 1e-6);
    }
}

TEST_CASE("psnr of many pairs: the mean of decibels, and the decibels of the mean") {
    const Pair small = images(1, 8, 8, 0.25F);
    const Pair large = images(3, 16, 8, 0.5F);
    flowfar::metrics::PsnrAverage average(2);
    CHECK_THROWS_WITH_AS((void)average.per_image(), "PsnrAverage: no images", flowfar::Error);
    CHECK_THROWS_AS((void)average.per_batch(), flowfar::Error);
    average.add(small.a, small.b);
    CHECK(average.per_image() == doctest::Approx(psnr(small.a, small.b, 2)).epsilon(1e-14));
    CHECK(average.per_batch() == doctest::Approx(psnr(small.a, small.b, 2)).epsilon(1e-14));
    average.add(large.a, large.b);
    CHECK(average.count() == 2);
    const double mean = (psnr(small.a, small.b, 2) + psnr(large.a, large.b, 2)) / 2;
    CHECK(average.per_image() == doctest::Approx(mean).epsilon(1e-14));
    Pair both = small;
    both.a.insert(both.a.end(), large.a.begin(), large.a.end());
    both.b.insert(both.b.end(), large.b.begin(), large.b.end());
    CHECK(average.per_batch() == doctest::Approx(psnr(both.a, both.b, 2)).epsilon(1e-13));
    CHECK(average.per_batch() < average.per_image() - 0.1);
    average.add(small.a, small.a);
    CHECK(average.per_image() == std::numeric_limits<double>::infinity());
    CHECK(std::isfinite(average.per_batch()));
    CHECK_THROWS_AS(average.add(small.a, large.a), flowfar::Error);
    CHECK_THROWS_AS(flowfar::metrics::PsnrAverage(0), flowfar::Error);
}

TEST_CASE("equal images are perfectly similar") {
    const Pair pair = images(3, 16, 16, 0.5F);
    CHECK(psnr(pair.a, pair.a, 2) == std::numeric_limits<double>::infinity());
    CHECK(ssim(pair.a, pair.a, 3, 16, 16, two) == doctest::Approx(1.0).epsilon(1e-14));
    CHECK(ssim(pair.a, pair.a, 3, 16, 16, two, SsimWindow::gaussian11) == doctest::Approx(1.0).epsilon(1e-14));
    const std::vector<float> flat(49, 0.5F);  // no variance at all
    CHECK(ssim(flat, flat, 1, 7, 7, two) == doctest::Approx(1.0).epsilon(1e-14));
}

TEST_CASE("psnr and ssim are symmetric, scale with the range, and see a constant shift as the formula says") {
    const Pair pair = images(1, 20, 24, 0.25F);
    CHECK(psnr(pair.a, pair.b, 2) == psnr(pair.b, pair.a, 2));
    CHECK(ssim(pair.a, pair.b, 1, 20, 24, two) == doctest::Approx(ssim(pair.b, pair.a, 1, 20, 24, two)).epsilon(1e-14));
    std::vector<float> half_a(pair.a);
    std::vector<float> half_b(pair.b);
    for (std::size_t i = 0; i < half_a.size(); ++i) {
        half_a[i] *= 0.5F;
        half_b[i] *= 0.5F;
    }
    CHECK(psnr(half_a, half_b, 1) == doctest::Approx(psnr(pair.a, pair.b, 2)).epsilon(1e-13));
    CHECK(ssim(half_a, half_b, 1, 20, 24, flowfar::metrics::unit_range) ==
          doctest::Approx(ssim(pair.a, pair.b, 1, 20, 24, two)).epsilon(1e-13));
    // constant images: contrast and structure are 1, so only (2 ma mb + c1) / (ma^2 + mb^2 + c1) remains
    const std::vector<float> low(64, 0.25F);
    const std::vector<float> high(64, 0.75F);
    CHECK(ssim(low, high, 1, 8, 8, flowfar::metrics::unit_range) ==
          doctest::Approx((2 * 0.25 * 0.75 + 1e-4) / (0.0625 + 0.5625 + 1e-4)));
    CHECK(psnr(low, high, 1) == doctest::Approx(10 * std::log10(4.0)));
}

TEST_CASE("the channel mean weighs channels equally") {
    const Pair pair = images(2, 15, 15, 0.5F);
    const std::size_t plane = std::size_t{15} * 15;
    const std::span<const float> a(pair.a);
    const std::span<const float> b(pair.b);
    const double first = ssim(a.first(plane), b.first(plane), 1, 15, 15, two);
    const double second = ssim(a.last(plane), b.last(plane), 1, 15, 15, two);
    CHECK(first != second);
    CHECK(ssim(a, b, 2, 15, 15, two) == doctest::Approx((first + second) / 2).epsilon(1e-14));
}

TEST_CASE("bad input is refused") {
    const std::vector<float> image(121, 0.5F);
    const std::vector<float> shorter(120, 0.5F);
    std::vector<float> broken(image);
    broken[60] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> infinite(image);
    infinite[3] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH_AS((void)psnr(image, shorter, 2), "psnr: images of 121 and 120 values", flowfar::Error);
    CHECK_THROWS_AS((void)psnr({}, {}, 2), flowfar::Error);
    CHECK_THROWS_AS((void)psnr(image, image, 0), flowfar::Error);
    CHECK_THROWS_AS((void)psnr(image, image, -1), flowfar::Error);
    CHECK_THROWS_AS((void)psnr(image, image, std::numeric_limits<double>::quiet_NaN()), flowfar::Error);
    CHECK_THROWS_AS((void)psnr(image, broken, 2), flowfar::Error);
    CHECK_THROWS_AS((void)psnr(infinite, image, 2), flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::metrics::mean_squared_error(image, shorter), flowfar::Error);
    CHECK_THROWS_AS((void)ssim(image, shorter, 1, 11, 11, two), flowfar::Error);
    CHECK_THROWS_AS((void)ssim(image, image, 1, 11, 12, two), flowfar::Error);
    CHECK_THROWS_AS((void)ssim(image, image, 2, 11, 11, two), flowfar::Error);
    CHECK_THROWS_AS((void)ssim(image, image, 0, 11, 11, two), flowfar::Error);
    CHECK_THROWS_AS((void)ssim(image, broken, 1, 11, 11, two), flowfar::Error);
    CHECK_THROWS_AS((void)ssim(image, image, 1, 11, 11, ValueRange{1, 1}), flowfar::Error);
    const Index huge = Index{1} << 62;  // the product of these extents overflows to the right count
    CHECK_THROWS_AS((void)ssim(image, image, huge, huge, huge, two), flowfar::Error);
    const std::vector<float> small(36, 0.5F);
    CHECK_THROWS_WITH_AS((void)ssim(small, small, 1, 6, 6, two),
                         "ssim: image [1, 6, 6] is smaller than the window of 7 x 7", flowfar::Error);
    const std::vector<float> ten(100, 0.5F);
    CHECK(ssim(ten, ten, 1, 10, 10, two) == doctest::Approx(1.0));
    CHECK_THROWS_AS((void)ssim(ten, ten, 1, 10, 10, two, SsimWindow::gaussian11), flowfar::Error);
}
