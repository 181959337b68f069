// Turns a FlowMo token file, or a photo by way of its tokens, into an image; see --help.

#include <algorithm>
#include <cstring>
#include <optional>

#include "common/cli/flowmo_options.hpp"
#include "common/draw/contact_sheet.hpp"
#include "common/files/outputs.hpp"
#include "common/models/flowmo_codec.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments {
    std::string input, out, model, original, preview, fit = "crop";
    SamplingArguments sampling;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_reconstruct",
              "Turns a FlowMo token file into an image; given a photo, takes it to tokens and back.");
    spec.positional("INPUT", a.input, "token file of flowmo_tokenize, or a PNG or JPEG");
    spec.option("out", a.out, "the image, PNG or JPEG by its extension").alias("-o").placeholder("FILE").required();
    add_model_options(spec, a.model, a.sampling);
    spec.option("original", a.original, "photo to compare with, when INPUT holds tokens: prints PSNR and SSIM")
        .placeholder("FILE");
    spec.option("fit", a.fit, "how photos are fitted to the model, as in flowmo_tokenize").choices({"crop", "tile"});
    spec.option("preview", a.preview, "PNG with the estimates after up to eight of the steps").placeholder("FILE");
    add_sampling_options(spec, a.sampling);
    spec.example("photo.tokens -o photo.png --model model.safetensors --preview steps.png", "tokens to image");
    spec.example("photo.jpg -o again.png --model model.safetensors --steps 4", "photo to tokens and back");
    return spec;
}

bool holds_tokens(const std::string& path) {
    const io::MappedFile file(path);
    const std::string_view magic = io::detail::token_magic;
    return file.bytes().size() >= magic.size() && std::memcmp(file.bytes().data(), magic.data(), magic.size()) == 0;
}
/// A photo; says what else the file is, where it is none.
Image read_input(const std::string& path) {
    const io::MappedFile file(path);
    const std::string kind = io::file_kind(file.bytes());
    require(kind == "a PNG image" || kind == "a JPEG image", path,
            ": expected a flowfar token file, or a PNG or JPEG image", io::found_kind(file.bytes()));
    return io::decode_image(file.bytes(), path);
}

/// Collects the estimates of all tiles after some of the steps.
class Preview {
   public:
    explicit Preview(int steps) : tiles_(static_cast<std::size_t>(steps)), times_(tiles_.size()) {}

    void add(const FlowMoFacts& facts, const FlowMoEstimate& estimate) {
        if (!chosen(estimate.step)) {
            return;
        }
        const auto at = static_cast<std::size_t>(estimate.step - 1);
        times_[at] = estimate.time;
        for (Image& tile : from_planes(estimate.images(), facts.height, facts.width)) {
            tiles_[at].push_back(std::move(tile));
        }
    }
    [[nodiscard]] Image strip(int height, int width) const {
        ContactSheet sheet;
        sheet.scale = std::max(1, 128 / std::max(height, width));
        SheetRow& row = sheet.rows.emplace_back();
        for (std::size_t i = 0; i < tiles_.size(); ++i) {
            if (!tiles_[i].empty()) {
                char caption[64];
                std::snprintf(caption, sizeof caption, "step %zu\nt = %.3f", i + 1, times_[i]);
                row.cells.push_back({io::join_tiles(tiles_[i], height, width), caption});
            }
        }
        return render(sheet);
    }

   private:
    /// The last step, and others at even distances before it.
    [[nodiscard]] bool chosen(int step) const {
        const auto steps = static_cast<int>(tiles_.size());
        return steps <= 8 || step * 8 / steps != (step - 1) * 8 / steps;
    }

    std::vector<std::vector<Image>> tiles_;
    std::vector<double> times_;
};

void run(const Arguments& a) {
    const FlowMoDecodeOptions options = a.sampling.options();
    check_output_image("--out", a.out);
    check_output_image("--preview", a.preview, false);
    for (const std::string& output : {a.out, a.preview}) {
        check_not_input(output, a.input);
    }
    const Computing computing = a.sampling.compute.apply();
    Stages stages;
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    stages.done("load");
    io::TokenFile file;
    std::optional<Image> original;
    if (!holds_tokens(a.input)) {
        if (!a.original.empty()) {
            throw UsageError("--original is for token files; a photo is compared with itself");
        }
        original = fit_photo(read_input(a.input), model->facts(), a.fit);
        file = tokenize(*model, *original);
        stages.done("encode");
    } else {
        file = io::read_tokens(a.input);
        check_tokens(*model, file, a.input);
        if (!a.original.empty()) {
            original = fit_photo(io::read_image(a.original), model->facts(), a.fit);
            require(original->height == file.height && original->width == file.width, a.original, ": fitted to ",
                    original->height, " x ", original->width, " pixels, but the tokens hold ", file.height, " x ",
                    file.width, "; is --fit as it was?");
        }
        stages.done("read");
    }
    const int height = static_cast<int>(file.height);
    const int width = static_cast<int>(file.width);
    Preview preview(options.steps);
    EstimateCallback callback;
    if (!a.preview.empty()) {
        callback = [&](Index, const FlowMoEstimate& estimate) { preview.add(model->facts(), estimate); };
    }
    const Image image = reconstruct(*model, file, options, callback);
    stages.done(text("decode (", options.steps, options.steps == 1 ? " step)" : " steps)"));
    io::write_image(a.out, image);
    if (!a.preview.empty()) {
        io::write_png(a.preview, preview.strip(height, width));
    }
    stages.done("write");
    std::printf("%s -> %s: %s\n", a.input.c_str(), a.out.c_str(), token_summary(file).c_str());
    if (original) {
        std::printf("  PSNR, SSIM: %s\n", quality_of(*original, image).shown().c_str());
    }
    std::printf("  time: %s\n", stages.shown().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { run(arguments); });
}
