/// Files of published weights that fit, and what is said about those that do not.

#include <doctest/doctest.h>

#include "flowfar/backend/reference.hpp"
#include "flowfar/checkpoints/published.hpp"
#include "flowfar/perceptual/lpips.hpp"
#include "flowfar/perceptual/resnet50.hpp"

#include "fixture.hpp"
#include "folders.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// A network with one convolution, its batch norm and a read-out, in torchvision's names.
struct Small {
    using Backend = Reference;
    static constexpr PublishedWeights published{
        .where = "nowhere.pth of example.org", .skipped = "head.", .norm_epsilon = 1e-3};
    StridedConv2d<Reference, 2, 3, 1, 1, 0> conv1;
    Sequential<Reference, Conv2d<Reference, 3, 1, 1>> downsample;

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv1", self.conv1);
        v("downsample", self.downsample);
    }
};

FormulaFile small_file() {
    FormulaFile file(nlohmann::json::object());
    file.add("conv1.weight", {3, 2, 1, 1});
    file.add("downsample.0.weight", {1, 3, 1, 1});
    file.add("downsample.0.bias", {1});
    file.add("head.weight", {7});
    for (const auto& [norm, count] : {std::pair<std::string, Index>{"bn1", 3}, {"downsample.1", 1}}) {
        for (const std::string part : {".weight", ".bias", ".running_mean", ".running_var"}) {
            file.add(norm + part, {count});
        }
        file.add(norm + ".num_batches_tracked", {});
    }
    return file;
}

std::string refusal(const FormulaFile& file) {
    Small network;
    network.conv1.initialize(1);
    const std::vector<float> before = network.conv1.weight.to_host();
    std::string out;
    try {
        io::load_published(network, file);
    } catch (const Error& error) {
        out = error.what();
    }
    CHECK(network.conv1.weight.to_host() == before);
    return out;
}

void check_mentions(const std::string& message, std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts) {
        INFO(message);
        INFO(part);
        CHECK(message.find(part) != std::string::npos);
    }
}

}  // namespace

TEST_CASE("a batch norm becomes part of the convolution before it") {
    const FormulaFile file = small_file();
    Small network;
    io::load_published(network, file);
    const auto numbers = [&](const std::string& name) { return io::values<double>(file.at(name)); };
    const auto check = [&](const std::string& layer, const std::string& norm, const auto& weight, const auto& bias) {
        const auto original = numbers(layer + ".weight");
        const auto own = file.contains(layer + ".bias") ? numbers(layer + ".bias") : std::vector<double>(8);
        const auto gain = numbers(norm + ".weight");
        const auto shift = numbers(norm + ".bias");
        const auto mean = numbers(norm + ".running_mean");
        const auto variance = numbers(norm + ".running_var");
        const std::size_t row = weight.size() / bias.size();
        for (std::size_t i = 0; i < weight.size(); ++i) {
            const std::size_t o = i / row;
            CHECK(static_cast<double>(weight[i]) ==
                  doctest::Approx(original[i] * gain[o] / std::sqrt(variance[o] + 1e-3)).epsilon(1e-6));
        }
        for (std::size_t o = 0; o < bias.size(); ++o) {
            CHECK(
                static_cast<double>(bias[o]) ==
                doctest::Approx((own[o] - mean[o]) * gain[o] / std::sqrt(variance[o] + 1e-3) + shift[o]).epsilon(1e-6));
        }
    };
    check("conv1", "bn1", network.conv1.weight.to_host(), network.conv1.bias.to_host());
    const auto& adapter = std::get<0>(network.downsample.layers);
    check("downsample.0", "downsample.1", adapter.weight.to_host(), adapter.bias.to_host());
}

TEST_CASE("a folded network that was saved loads again") {
    const TempDir folder;
    Small network;
    io::load_published(network, small_file());
    io::save_parameters(network, folder / "folded.safetensors", DType::f32);
    Small again;
    io::load_published(again, folder / "folded.safetensors");
    CHECK(again.conv1.weight.to_host() == network.conv1.weight.to_host());
    CHECK(again.conv1.bias.to_host() == network.conv1.bias.to_host());
}

TEST_CASE("files that do not fit are refused with all names, and with where to find better ones") {
    FormulaFile file = small_file();
    file.rename("conv1.weight", "convolution1.weight");
    file.add("conv9.weight", {1});
    check_mentions(refusal(file), {"missing conv1.weight [3, 2, 1, 1]", "missing conv1.bias", "unexpected conv9.weight",
                                   "unexpected convolution1.weight", "nowhere.pth of example.org"});

    file = small_file();
    file.remove("bn1.running_var");
    check_mentions(refusal(file), {"bn1.running_var", "no such tensor", "nowhere.pth"});

    file = small_file();
    file.add("bn1.running_mean", {4});
    check_mentions(refusal(file), {"bn1.running_mean", "expected [3], found [4]"});

    file = small_file();
    file.add("conv1.weight", {3, 5, 1, 1});
    check_mentions(refusal(file), {"mismatched conv1.weight", "[3, 2, 1, 1]", "[3, 5, 1, 1]"});

    file = small_file();
    file.fix("bn1.running_var", -1.0F);
    check_mentions(refusal(file), {"bn1.running_var", "-1", "not negative"});
    for (const char* name : {"bn1.running_var", "bn1.running_mean", "bn1.weight", "bn1.bias"}) {
        file = small_file();
        file.fix(name, NAN);
        check_mentions(refusal(file), {name, "element 0 is nan"});
    }
    file.add("conv9.weight", {1});  // names come first: a file with many norms is not read in vain
    check_mentions(refusal(file), {"unexpected conv9.weight"});
}

TEST_CASE("batch norms of parts that the network does not have are not read") {
    FormulaFile file = small_file();
    file.add("head.conv.weight", {3, 2, 1, 1});
    for (const std::string part : {".weight", ".bias", ".running_mean", ".running_var"}) {
        file.add("head.bn" + part, {3});
        file.fix("head.bn" + part, NAN);
    }
    Small network;
    io::load_published(network, file);
    Small expected;
    io::load_published(expected, small_file());
    CHECK(network.conv1.weight.to_host() == expected.conv1.weight.to_host());
    CHECK(network.conv1.bias.to_host() == expected.conv1.bias.to_host());
}

TEST_CASE("weights that Python 2 stored, as LPIPS's are") {
    LpipsWeights<AlexNet<Reference>> weights;
    io::load_published(weights, flowfar::testing::source_folder() / "tests" / "perceptual" / "data" / "python2.pth");
    for (std::size_t i = 0; i < AlexNet<Reference>::channels.size(); ++i) {
        const auto expected = fill(text("lin", i, ".model.1.weight"),
                                   static_cast<std::size_t>(AlexNet<Reference>::channels[i]), 0.5, 0.5);
        const auto found = weights[i].to_host();
        REQUIRE(found.size() == expected.size());
        for (std::size_t c = 0; c < found.size(); ++c) {
            CHECK(found[c] == static_cast<float>(f16(expected[c])));
        }
    }
}

TEST_CASE("a missing file, and one of another network") {
    const TempDir folder;
    ResNet50<Reference> network;
    const auto message = [&](const io::Path& path) {
        try {
            io::load_published(network, path);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    check_mentions(message(folder / "none.pth"),
                   {"none.pth", "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"});
    Small other;
    io::load_published(other, small_file());
    io::save_parameters(other, folder / "other.safetensors", DType::f32);
    check_mentions(message(folder / "other.safetensors"),
                   {"missing layer1.0.conv1.weight [64, 64, 1, 1]", " more missing", "unexpected downsample.0.weight",
                    "resnet50"});
}

TEST_CASE("LPIPS refuses images outside [-1, 1], NaN, and images of different sizes") {
    using Metric = Lpips<AlexNet<Reference>>;
    Metric metric;
    using Images = Metric::Images;
    const auto good = Images::full({1, 3, 32, 32}, 0.5);
    CHECK_THROWS_WITH_AS(static_cast<void>(metric.distances(Images::full({1, 3, 32, 32}, 127.5), good)),
                         "LPIPS: expected pixels in [-1, 1], found one of magnitude 127.5", Error);
    CHECK_THROWS_AS(static_cast<void>(metric.distances(good, Images::full({1, 3, 32, 32}, -1.01))), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(metric.distances(good, Images::full({1, 3, 32, 32}, NAN))),
                         "LPIPS: the images contain NaN or infinity", Error);
    CHECK_THROWS_AS(static_cast<void>(metric.distances(good, Images::full({1, 3, 32, 31}, 0.5))), Error);
    CHECK_THROWS_AS(static_cast<void>(metric(Images::full({1, 3, 32, 32}, 2.0), good)), Error);
}
