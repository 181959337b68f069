/// A full-size FlowMo-Lo checkpoint: written for PyTorch, loaded by name, and encoding what the reference encodes.

#include <filesystem>
#include <memory>
#include <vector>

#include "flowfar/flowmo.hpp"

#include "golden_full.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("FlowMo-Lo: a checkpoint for PyTorch loads by name and encodes the reference's code") {
    using Model = FlowMo<FlowMoLo, Cpu>;
    const auto golden = Golden::find("flowmo_lo_full");
    if (!golden) {
        return;
    }
    const TempDir folder;
    const auto path = folder / "flowmo_lo.pth";
    const auto available = std::filesystem::space(folder.path()).available;
    if (available < std::uintmax_t{5} << 30) {
        MESSAGE("NOT RUN: the folder for temporary files has less than 5 GiB");
        return;
    }
    Stopwatch watch;
    {
        Model model;
        golden_parameters("flowmo_lo_full", model);
        watch.report("filling the parameters");
        io::save_torch_parameters(model, path, DType::f32, "model_ema_state_dict");
        watch.report("writing the checkpoint");
    }
    std::uint64_t loaded = 0;
    const Model model = Model::load(path, [&](std::uint64_t done, std::uint64_t total) {
        CHECK(done > loaded);
        CHECK(done <= total);
        loaded = done;
    });
    CHECK(loaded == static_cast<std::uint64_t>(parameter_count(model)) * 4);
    watch.report("loading the checkpoint");
    const auto images = filled<Model::Images>("input.image", {1, 3, FlowMoLo::image_height, FlowMoLo::image_width});
    golden->close("code", model.encode_observed(images, [](Index, const auto&, const auto&) {}), 3e-5);
    watch.report("encoder");
}
