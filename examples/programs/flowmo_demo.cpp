// Takes a drawn test card, and any photos, through the trained tiny FlowMo: the main job of examples/run.sh.

#include <array>
#include <filesystem>
#include <optional>

#include "common/cli/flowmo_options.hpp"
#include "common/draw/test_card.hpp"
#include "common/files/default_model.hpp"
#include "common/files/photo_list.hpp"
#include "common/measures/flowmo_reports.hpp"
#include "common/models/flowmo_codec.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
namespace fs = std::filesystem;

const std::vector<int> step_counts = {1, 4, 25};

struct Arguments {
    std::vector<std::string> images;
    std::string model = default_model("flowmo_tiny.safetensors"), out = "flowmo_demo_out";
    int size = 256;
    std::optional<Index> overlap;
    SamplingArguments sampling;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_demo",
              "Turns a test card, and any photos, into FlowMo tokens and back with 1, 4 and 25 sampling steps, and "
              "writes a contact sheet. Downloads nothing.");
    spec.positional("IMAGE", a.images, "PNG or JPEG to show beside the test card, or a folder or tar of them")
        .optional()
        .alias("--data");
    add_model_options(spec, a.model, a.sampling, ModelOption::optional);
    spec.option("out", a.out, "folder for contact_sheet.png and the token files").alias("-o").placeholder("DIR");
    spec.option("size", a.size, "side of the squares that are shown: photos are resized, and their middle kept")
        .range(16, 4096);
    add_overlap_option(spec, a.overlap);
    add_sampling_options(spec, a.sampling, StepsOption::absent);
    spec.example("holiday.jpg", "the test card and a photo");
    return spec;
}

struct Example {
    std::string name;
    Image image;
};

/// The test card and the user's photos, all squares of one size.
std::vector<Example> examples_of(const Arguments& a, const FlowMoFacts& facts) {
    const int size = std::max({a.size, facts.height, facts.width});
    std::vector<Example> out;
    out.push_back({"test card", draw_test_card(size, size)});
    for (const PhotoList::Photo& photo : PhotoList(a.images)) {
        out.push_back({fs::path(photo.name).stem().string(), fitted(photo.load(), size, size)});
    }
    return out;
}

void run(const Arguments& a) {
    FlowMoDecodeOptions options = a.sampling.options();
    const Computing computing = a.sampling.compute.apply();
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    const FlowMoFacts& facts = model->facts();
    const Index overlap = chosen_overlap(a.overlap, facts);
    const std::vector<Example> examples = examples_of(a, facts);
    fs::create_directories(a.out);
    std::printf("%s: %.2f M parameters, tiles of %d x %d pixels in %lld bytes\n\n", facts.name.c_str(),
                static_cast<double>(facts.parameter_count) / 1e6, facts.height, facts.width,
                static_cast<long long>((facts.bits_per_image() + 7) / 8));
    std::printf("%-20s %7s %7s", "image", "bytes", "bpp");
    for (const int steps : step_counts) {
        std::printf("  %-16s", steps_text(steps).c_str());
    }
    std::printf("  time\n");

    std::vector<Image> originals;
    std::vector<std::string> captions;
    std::vector<std::vector<Image>> columns(step_counts.size());
    for (std::size_t i = 0; i < examples.size(); ++i) {
        Stages stages;
        const fs::path path = fs::path(a.out) / text(i, "_", i == 0 ? "test_card" : examples[i].name, ".tokens");
        io::write_tokens(path, tokenize(*model, examples[i].image, overlap));
        stages.done("encode");
        const io::TokenFile tokens = io::read_tokens(path);
        check_tokens(*model, tokens, path.string());
        std::printf("%-20.20s %7lld %7.3f", examples[i].name.c_str(), static_cast<long long>(payload_bytes(tokens)),
                    bits_per_pixel(tokens));
        for (std::size_t k = 0; k < step_counts.size(); ++k) {
            options.steps = step_counts[k];
            columns[k].push_back(reconstruct(*model, tokens, options));
            std::printf("  %-16s", quality_of(examples[i].image, columns[k].back()).shown().c_str());
            std::fflush(stdout);
        }
        stages.done("decode");
        std::printf("  %s\n", stages.shown().c_str());
        originals.push_back(examples[i].image);
        captions.push_back(text(examples[i].name, "\n", payload_bytes(tokens), " bytes"));
    }
    const fs::path sheet = fs::absolute(fs::path(a.out) / "contact_sheet.png");
    const std::string title = text(facts.name, ": photo, tokens, photo");
    ContactSheet drawn = reconstruction_sheet(title, originals, captions, step_counts, columns);
    drawn.scale = std::max(1, 256 / originals.front().width);
    io::write_png(sheet, render(drawn));
    std::printf("\nPSNR and SSIM after each number of sampling steps. Look at:\n  %s\n", sheet.c_str());
    std::printf("Token files are beside it.\n");
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { run(arguments); });
}
