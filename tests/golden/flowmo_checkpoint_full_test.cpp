/// A full-size FlowMo-Lo checkpoint, written for PyTorch and by PyTorch: it loads by name, needs no more memory than
/// the model and one tensor, and computes what the reference computes.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "flowfar/cpu.hpp"
#include "flowfar/flowmo.hpp"
#include "flowfar/io.hpp"

#include "folders.hpp"
#include "golden_full.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Model = FlowMo<FlowMoLo, Cpu>;

std::uint64_t bytes_of(const Model& model) {
    return static_cast<std::uint64_t>(parameter_count(model)) * sizeof(float);
}

Model loaded_from(const io::Path& path, Stopwatch& watch) {
    std::uint64_t loaded = 0;
    Model model = load<Model>(path, [&](std::uint64_t done, std::uint64_t total) {
        CHECK(done > loaded);
        CHECK(done <= total);
        loaded = done;
    });
    CHECK(loaded == bytes_of(model));
    watch.report("loading the checkpoint");
    return model;
}

}  // namespace

TEST_CASE("FlowMo-Lo: a checkpoint for PyTorch loads by name and computes what the reference computes") {
    const auto golden = Golden::find("flowmo_lo_full");
    if (!golden) {
        return;
    }
    const char* const python = std::getenv("FLOWFAR_TORCH_PYTHON");
    const std::uintmax_t needed = std::uintmax_t{python == nullptr ? 5U : 9U} << 30;
    const TempDir folder;
    const io::Path path = folder / "flowmo_lo.pth";
    if (std::filesystem::space(folder.path()).available < needed) {
        MESSAGE("NOT RUN: the folder for temporary files has less than ", needed >> 30, " GiB");
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
    {
        const Model model = loaded_from(path, watch);
        // The largest tensor takes 32 MB; the rest is the program and what the operating system reads ahead.
        CHECK(peak_gigabytes() < static_cast<double>(bytes_of(model)) / 1e9 + 0.25);
        check_outputs<FlowMoLo>(*golden, model, watch);
    }
    if (python == nullptr) {
        MESSAGE("NOT RUN: FLOWFAR_TORCH_PYTHON names no Python with PyTorch to write the checkpoint again");
        return;
    }
    const auto script = flowfar::testing::source_folder() / "tests" / "io" / "data" / "make_torch_files.py";
    for (const char* const format : {"zip", "stream"}) {
        const io::Path again = folder / text("again_", format, ".pth");
        const std::string command =
            text(python, " ", script.string(), " --rewrite ", path.string(), " ", again.string(), " ", format);
        REQUIRE(std::system(command.c_str()) == 0);
        watch.report(text("PyTorch writes a ", format));
        check_outputs<FlowMoLo>(*golden, loaded_from(again, watch), watch);
        std::filesystem::remove(again);
    }
}
