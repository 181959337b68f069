// Turns photos into FlowMo token files; see --help.

#include <filesystem>
#include <optional>

#include "common/cli/flowmo_options.hpp"
#include "common/cli/printable.hpp"
#include "common/files/file_key.hpp"
#include "common/files/outputs.hpp"
#include "common/files/photo_list.hpp"
#include "common/models/flowmo_codec.hpp"
#include "common/models/token_shards.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
namespace fs = std::filesystem;

struct Arguments {
    std::vector<std::string> images;
    std::string out, model, fit = "crop";
    std::optional<Index> overlap, shard_size;
    bool check = false;
    SamplingArguments sampling;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_tokenize",
              "Turns photos into FlowMo token files; with --check, says how well they can be reconstructed.");
    spec.positional("IMAGE", a.images, "PNG or JPEG, or a folder or tar of them").alias("--data");
    spec.option("out", a.out, "the token file; with several images, a folder for NAME.tokens")
        .alias("-o")
        .placeholder("FILE")
        .required();
    add_model_options(spec, a.model, a.sampling);
    spec.option("fit", a.fit,
                "crop: the short side is resized to the model's size and the middle kept; tile: the whole photo, in "
                "tiles of the model's size")
        .choices({"crop", "tile"});
    add_overlap_option(spec, a.overlap);
    spec.option("shard-size", a.shard_size,
                "make a training set of one folder or tar of class folders: files of so many images with their labels, "
                "for token_train. The same command continues where it was stopped, and may run several times side by "
                "side")
        .range(1, 1 << 24);
    spec.flag("check", a.check,
              "reconstruct from the tokens, as the options under Sampling say, and print PSNR and SSIM");
    add_sampling_options(spec, a.sampling);
    spec.example("photo.jpg -o photo.tokens --model model.safetensors --fit tile", "a large photo, tile by tile");
    spec.example("photos.tar -o tokens --model model.safetensors --shard-size 4096",
                 "a training set for token_train, with the share of the codebook that it uses");
    spec.example("photos -o tokens --model model.safetensors", "all photos of a folder into the folder tokens");
    return spec;
}

/// Where each image's tokens go. Throws UsageError if two share a file.
std::vector<fs::path> destinations(const Arguments& a, const PhotoList& photos) {
    if (photos.is_one_image() && !fs::is_directory(a.out) && !a.out.ends_with('/')) {
        check_output_file(a.out);
        return {a.out};
    }
    check_output_folder(a.out);
    std::vector<std::string> names;
    for (const PhotoList::Photo& photo : photos) {
        names.push_back(photo.name);
    }
    return files_in(a.out, names, ".tokens");
}

/// A training set instead of token files.
int make_set(const Arguments& a) {
    if (a.overlap || a.fit != "crop" || a.check) {
        throw UsageError("--shard-size: expected neither --fit tile, --overlap nor --check beside it");
    }
    if (a.images.size() != 1) {
        throw UsageError(text("--shard-size: expected one folder or tar, found ", a.images.size()));
    }
    check_output_folder(a.out);
    const Computing computing = a.sampling.compute.apply();
    const io::ImageDataset data(a.images.front());
    data.require_labels();
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    return tokenize_set(*model, data, a.out, *a.shard_size, file_key(a.model), a.sampling.compute.precision);
}

int run(const Arguments& a) {
    const FlowMoDecodeOptions options = a.sampling.options();
    if (a.shard_size) {
        return make_set(a);
    }
    const Computing computing = a.sampling.compute.apply();
    if (a.overlap && a.fit != "tile") {
        throw UsageError("--overlap is for photos with --fit tile");
    }
    const PhotoList photos(a.images);
    const std::vector<fs::path> paths = destinations(a, photos);
    for (std::size_t i = 0; i < paths.size(); ++i) {
        check_not_input(paths[i].string(), {photos.begin()[static_cast<std::ptrdiff_t>(i)].path, a.model});
    }
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    const Index overlap = chosen_overlap(a.overlap, model->facts());
    // a message about one image of many names it
    const auto naming = [](const std::string& name, const auto& action) {
        try {
            return action();
        } catch (const Error& error) {
            const std::string what = error.what();
            fail(what.starts_with(name) ? "" : name + ": ", what);
        }
    };
    auto path = paths.begin();
    for (const PhotoList::Photo& photo : photos) {
        Stages stages;
        const Image image = naming(photo.path, [&] { return picture_of(photo.load(), model->facts(), a.fit); });
        stages.done("read");
        const io::TokenFile file = tokenize(*model, image, overlap);
        stages.done("encode");
        if (*path != fs::path(a.out)) {
            fs::create_directories(path->parent_path());
        }
        io::write_tokens(*path, file);
        stages.done("write");
        std::printf("%s -> %s: %s\n", printable(photo.path).c_str(), printable(path->string()).c_str(),
                    token_summary(file).c_str());
        if (a.check) {
            const Image again = reconstruct(*model, file, options);
            stages.done(text("decode (", options.steps, " steps)"));
            std::printf("  PSNR, SSIM: %s\n", quality_of(image, again).shown().c_str());
        }
        std::printf("  time: %s\n", stages.shown().c_str());
        std::fflush(stdout);
        ++path;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { return run(arguments); });
}
