/// MAR, raster AR and VAR with files: round trips, files of other kinds and sizes.

#include <doctest/doctest.h>

#include "flowfar/cpu.hpp"
#include "flowfar/far.hpp"
#include "flowfar/io.hpp"

#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

struct WiderMar : MarTiny {
    static constexpr std::string_view name = "WiderMar";
    static constexpr Index head_width = 24;
};
struct DeeperRaster : RasterTiny {
    static constexpr std::string_view name = "DeeperRaster";
    static constexpr Index depth = 5;
};

/// The parameters of a model in the order of their names.
template <class Model>
std::vector<std::vector<float>> values(const Model& model) {
    std::vector<std::vector<float>> out;
    for_each_parameter(model, [&](const auto& p) {
        std::vector<float> one(static_cast<std::size_t>(p.count()));
        Cpu::to_host(p.value(), one.data());
        out.push_back(std::move(one));
    });
    return out;
}

/// The message of the Error that loading throws, or "no error".
template <class Model>
std::string error_of(const io::Path& path) {
    try {
        static_cast<void>(load<Model>(path));
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the published sizes have the published numbers of parameters") {
    const auto millions = [](const auto& model) { return static_cast<double>(parameter_count(model)) / 1e6; };
    CHECK(millions(Mar<MarB, Cpu>{}) == doctest::Approx(207.9).epsilon(3e-4));
    CHECK(millions(Mar<MarL, Cpu>{}) == doctest::Approx(478.3).epsilon(3e-4));
    CHECK(millions(Mar<MarH, Cpu>{}) == doctest::Approx(942.4).epsilon(3e-4));
    CHECK(millions(Raster<RasterB, Cpu>{}) == doctest::Approx(207.1).epsilon(3e-4));
    CHECK(millions(Var<VarB, Cpu>{}) == doctest::Approx(207.7).epsilon(3e-4));
}

TEST_CASE("every paradigm's files are told from the others'") {
    const TempDir folder;
    const auto far = folder.path() / "far.safetensors", mar = folder.path() / "mar.safetensors",
               raster = folder.path() / "raster.safetensors", var = folder.path() / "var.safetensors";
    save(Far<FarNano, Cpu>::random(1), far);
    const auto model = Mar<MarTiny, Cpu>::random(2);
    save(model, mar);
    const auto rows = Raster<RasterTiny, Cpu>::random(3);
    save(rows, raster);
    const auto scales = Var<VarTiny, Cpu>::random(4);
    save(scales, var);
    CHECK(values(load<Mar<MarTiny, Cpu>>(mar)) == values(model));
    CHECK(values(load<Raster<RasterTiny, Cpu>>(raster)) == values(rows));
    CHECK(values(load<Var<VarTiny, Cpu>>(var)) == values(scales));
    CHECK(error_of<Mar<MarTiny, Cpu>>(far) == far.string() + ": this is a FAR file, MAR expected");
    CHECK(error_of<Far<FarNano, Cpu>>(mar) == mar.string() + ": this is a MAR file, FAR expected");
    CHECK(error_of<Var<VarTiny, Cpu>>(raster) == raster.string() + ": this is a raster AR file, VAR expected");
    CHECK(error_of<Raster<RasterTiny, Cpu>>(var) == var.string() + ": this is a VAR file, raster AR expected");
    CHECK(contains(error_of<Mar<WiderMar, Cpu>>(mar), "this model is MarTiny (width 64"));
    CHECK(contains(error_of<Mar<WiderMar, Cpu>>(mar), "use the preset MarTiny"));
    CHECK(contains(error_of<Raster<DeeperRaster, Cpu>>(raster), "4 blocks, diffusion MLP of 2 blocks of width 64"));
    CHECK(contains(error_of<Var<Direct<VarTiny>, Cpu>>(var),
                   "this model was trained with residual scales, without them expected"));
}

TEST_CASE("a published MAR checkpoint holds the model twice; the averaged one is taken") {
    const TempDir folder;
    const auto path = folder.path() / "checkpoint-last.pth";
    const auto raw = Mar<MarTiny, Cpu>::random(4);
    const auto averaged = Mar<MarTiny, Cpu>::random(5);
    io::TorchWriter writer(path, "model");
    const auto both = [&](auto&& visit) {
        writer.select("model");
        for_each_parameter(raw, visit);
        writer.select("model_ema");
        for_each_parameter(averaged, visit);
    };
    both([&](const auto& p) {
        std::vector<Index> shape;
        for (int i = 0; i < p.extents().rank(); ++i) {
            shape.push_back(p.extents()[i]);
        }
        writer.declare(p.name, DType::f32, shape);
    });
    both([&](const auto& p) {
        std::vector<float> one(static_cast<std::size_t>(p.count()));
        Cpu::to_host(p.value(), one.data());
        writer.write(p.name, std::as_bytes(std::span<const float>(one)));
    });
    writer.finish();
    CHECK(values(load<Mar<MarTiny, Cpu>>(path)) == values(averaged));
}
