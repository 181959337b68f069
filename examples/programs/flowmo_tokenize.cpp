// Turns photos into FlowMo token files; see --help.

#include <filesystem>
#include <set>

#include "common/cli/flowmo_options.hpp"
#include "common/files/outputs.hpp"
#include "common/models/flowmo_codec.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
namespace fs = std::filesystem;

struct Arguments {
    std::vector<std::string> images;
    std::string out, model, fit = "crop";
    bool check = true;
    SamplingArguments sampling;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_tokenize", "Turns photos into FlowMo token files and says how well they can be reconstructed.");
    spec.positional("IMAGE", a.images, "PNG or JPEG");
    spec.option("out", a.out, "the token file; with several images, a folder for NAME.tokens")
        .alias("-o")
        .placeholder("FILE")
        .required();
    add_model_options(spec, a.model, a.sampling);
    spec.option("fit", a.fit,
                "crop: the short side is resized to the model's size and the middle kept; tile: the middle is cut into "
                "tiles of the model's size")
        .choices({"crop", "tile"});
    spec.flag("check", a.check, "reconstruct from the tokens and print PSNR and SSIM");
    add_sampling_options(spec, a.sampling);
    spec.example("photo.jpg -o photo.tokens --model model.safetensors --fit tile", "a large photo, tile by tile");
    spec.example("*.jpg -o tokens --model model.safetensors --no-check", "many photos into the folder tokens");
    return spec;
}

/// Where each image's tokens go. Throws UsageError if two share a file.
std::vector<fs::path> destinations(const Arguments& a) {
    if (a.images.size() == 1 && !fs::is_directory(a.out) && !a.out.ends_with('/')) {
        check_output_file(a.out);
        return {a.out};
    }
    check_output_folder(a.out);
    std::vector<fs::path> paths;
    std::set<std::string> taken;
    for (const std::string& image : a.images) {
        paths.push_back(fs::path(a.out) / fs::path(image).filename().replace_extension(".tokens"));
        if (!taken.insert(paths.back().string()).second) {
            throw UsageError(text("two images would be written to ", paths.back().string()));
        }
    }
    return paths;
}

void run(const Arguments& a) {
    const FlowMoDecodeOptions options = a.sampling.options();
    const Computing computing = a.sampling.compute.apply();
    const std::vector<fs::path> paths = destinations(a);
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    if (paths.front() != fs::path(a.out)) {
        fs::create_directories(a.out);
    }
    // a message about one image of many names it
    const auto naming = [](const std::string& name, const auto& action) {
        try {
            return action();
        } catch (const Error& error) {
            const std::string what = error.what();
            fail(what.starts_with(name) ? "" : name + ": ", what);
        }
    };
    for (std::size_t i = 0; i < paths.size(); ++i) {
        Stages stages;
        const Image image =
            naming(a.images[i], [&] { return fit_photo(io::read_image(a.images[i]), model->facts(), a.fit); });
        stages.done("read");
        const io::TokenFile file = tokenize(*model, image);
        stages.done("encode");
        io::write_tokens(paths[i], file);
        stages.done("write");
        std::printf("%s -> %s: %s\n", a.images[i].c_str(), paths[i].c_str(), token_summary(file).c_str());
        if (a.check) {
            const Image again = reconstruct(*model, file, options);
            stages.done(text("decode (", options.steps, " steps)"));
            std::printf("  PSNR, SSIM: %s\n", quality_of(image, again).shown().c_str());
        }
        std::printf("  time: %s\n", stages.shown().c_str());
        std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { run(arguments); });
}
