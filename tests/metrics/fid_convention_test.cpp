#include "flowfar/metrics/fid_convention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "fill.hpp"

using flowfar::Index;
using flowfar::metrics::fid_convention;
using flowfar::metrics::FidConvention;
using flowfar::metrics::FidInput;
using flowfar::metrics::FidResize;
using flowfar::metrics::TraceForm;
namespace fid = flowfar::metrics::fid;

namespace {

constexpr std::array<std::size_t, 6> places{
    0, 298, 299 * 150 + 77, 299 * 299 + 5, 2 * 299 * 299 + 299 * 200 + 201, 3 * 299 * 299 - 1};

/// What the network's input is for the image fill("metrics.image"): its mean, mean square and the elements at `places`.
/// Computed in double by PyTorch 2.15 (interpolate), torch-fidelity 0.4 (its TensorFlow 1 resize) and, for clean-fid,
/// Pillow 13 (channels of mode "F"), from the image as it is or rounded to 8 bits.
struct Recorded {
    Index height;
    Index width;
    std::string_view convention;
    double mean;
    double square;
    std::array<double, 6> elements;
};

const Recorded recorded[] = {
    {24, 37, "flowmo", 0.00534093, 0.15552554, {-0.4670255, 0.7852515, -0.4572993, 0.4169408, -0.2011707, 0.9182701}},
    {24,
     37,
     "pytorch-fid",
     0.00527575,
     0.15555279,
     {-0.4666667, 0.7882353, -0.4547137, 0.4154633, -0.2002469, 0.9215686}},
    {24,
     37,
     "torch-fidelity",
     0.00236272,
     0.15385836,
     {-0.4687500, 0.7812500, -0.8207466, 0.3620140, -0.1226180, 0.9140625}},
    {24, 37, "adm", 0.00236272, 0.15385836, {-0.4687500, 0.7812500, -0.8207466, 0.3620140, -0.1226180, 0.9140625}},
    {24,
     37,
     "clean-fid",
     0.00138970,
     0.22432424,
     {-0.5880831, 0.9921875, -0.6303323, 0.4012784, -0.2482515, 0.9921875}},
    {320,
     333,
     "flowmo",
     -0.00103279,
     0.14801257,
     {-0.3696699, -0.5087535, 0.2055418, -0.3389859, 0.6750834, -0.4476200}},
    {320,
     333,
     "pytorch-fid",
     -0.00103540,
     0.14801605,
     {-0.3693156, -0.5108050, 0.2043495, -0.3415661, 0.6760689, -0.4450330}},
    {320,
     333,
     "torch-fidelity",
     -0.00491732,
     0.14694675,
     {-0.4687500, -0.5671434, 0.2125183, -0.3998743, 0.7008140, -0.3780714}},
    {320, 333, "adm", -0.00491732, 0.14694675, {-0.4687500, -0.5671434, 0.2125183, -0.3998743, 0.7008140, -0.3780714}},
    {320,
     333,
     "clean-fid",
     -0.00489300,
     0.18368644,
     {-0.2980711, -0.5180034, 0.2128010, -0.3696995, 0.6946954, -0.4135071}},
};

}  // namespace

TEST_CASE("every convention prepares images as its program does") {
    for (const Recorded& want : recorded) {
        CAPTURE(want.convention);
        CAPTURE(want.height);
        const auto count = static_cast<std::size_t>(3 * want.height * want.width);
        const std::vector<float> image = flowfar::testing::fill("metrics.image", count);
        const FidInput prepare(fid_convention(want.convention), want.height, want.width);
        const std::vector<float> found = prepare(image);
        REQUIRE(found.size() == 3 * 299 * 299);
        double mean = 0;
        double square = 0;
        for (const float value : found) {
            mean += static_cast<double>(value) / static_cast<double>(found.size());
            square += static_cast<double>(value) * static_cast<double>(value) / static_cast<double>(found.size());
        }
        CHECK(std::fabs(mean - want.mean) < 1e-7);
        CHECK(std::fabs(square - want.square) < 1e-7);
        // torch-fidelity computes the weights of its resize in float, as TensorFlow did
        const bool in_float = fid_convention(want.convention).resize == FidResize::corner_bilinear;
        for (std::size_t i = 0; i < places.size(); ++i) {
            CHECK(std::fabs(static_cast<double>(found[places[i]]) - want.elements[i]) < (in_float ? 3e-5 : 5e-7));
        }
    }
}

TEST_CASE("conventions differ where their programs do") {
    CHECK(fid_convention("flowmo").trace == TraceForm::sqrtm);
    CHECK(fid_convention("pytorch-fid").trace == TraceForm::sqrtm);
    CHECK(fid_convention("torch-fidelity").trace == TraceForm::eigenvalues);
    CHECK(fid_convention("adm").trace == TraceForm::sqrtm);
    CHECK(fid_convention("clean-fid").trace == TraceForm::sqrtm);
    for (const FidConvention& convention : fid::all) {
        CHECK(convention.quantized == (convention.name != "flowmo"));
        CHECK(convention.symmetric == (convention.name == "flowmo" || convention.name == "pytorch-fid"));
        CHECK(fid_convention(convention.name).name == convention.name);
    }
}

TEST_CASE("several images are prepared one by one, and 299 x 299 pixels stay as they are") {
    const std::vector<float> images = flowfar::testing::fill("metrics.images", 2 * 3 * 16 * 20);
    const FidInput prepare(fid::adm, 16, 20);
    const std::vector<float> both = prepare(images);
    const std::vector<float> second = prepare(std::span(images).last(3 * 16 * 20));
    CHECK(std::vector<float>(both.begin() + 3 * 299 * 299, both.end()) == second);
    CHECK(prepare({}).empty());
    const std::vector<float> whole = flowfar::testing::fill("metrics.images", 3 * 299 * 299);
    const std::vector<float> same = FidInput(fid::flowmo, 299, 299)(whole);
    double worst = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
        worst = std::max(worst, std::fabs(static_cast<double>(same[i]) - static_cast<double>(whole[i])));
    }
    CHECK(worst < 1e-6);
}

TEST_CASE("bad input is refused") {
    CHECK_THROWS_WITH_AS((void)fid_convention("fid"),
                         "fid_convention: expected one of flowmo, pytorch-fid, torch-fidelity, adm, clean-fid, found "
                         "\"fid\"",
                         flowfar::Error);
    const FidInput prepare(fid::clean_fid, 4, 4);
    std::vector<float> image(48, 0.5F);
    CHECK_THROWS_AS((void)prepare(std::span(image).first(47)), flowfar::Error);
    image[5] = 1.5F;
    CHECK_THROWS_WITH_AS((void)prepare(image), "FidInput: expected pixels in [-1, 1], found 1.5", flowfar::Error);
    image[5] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_AS((void)prepare(image), flowfar::Error);
    CHECK_THROWS_AS(FidInput(fid::clean_fid, 0, 4), flowfar::Error);
}
