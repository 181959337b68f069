// Turns a FlowMo token file, or a photo by way of its tokens, into an image; see --help.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/cli/flowmo_options.hpp"
#include "common/cli/printable.hpp"
#include "common/draw/contact_sheet.hpp"
#include "common/files/outputs.hpp"
#include "common/files/photo_list.hpp"
#include "common/models/flowmo_codec.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
namespace fs = std::filesystem;

struct Arguments {
    std::vector<std::string> inputs;
    std::string out, model, original, preview, fit;
    std::optional<Index> overlap;
    SamplingArguments sampling;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_reconstruct",
              "Turns FlowMo token files into images; given photos, takes them to tokens and back.");
    spec.positional(
            "INPUT", a.inputs,
            "token file of flowmo_tokenize, PNG or JPEG, a folder of token files or else of photos, or a tar of photos")
        .alias("--data");
    spec.option("out", a.out, "the image, PNG or JPEG by its extension; with several inputs, a folder for NAME.png")
        .alias("-o")
        .placeholder("FILE")
        .required();
    add_model_options(spec, a.model, a.sampling);
    spec.option("original", a.original, "photo to compare with, when INPUT is one token file: prints PSNR and SSIM")
        .placeholder("FILE");
    spec.option("fit", a.fit,
                "how photos are fitted to the model, as in flowmo_tokenize; default: crop, and for --original as the "
                "tokens were made")
        .choices({"crop", "tile"});
    add_overlap_option(spec, a.overlap);
    spec.option("preview", a.preview, "PNG with the estimates after up to eight of the steps").placeholder("FILE");
    add_sampling_options(spec, a.sampling);
    spec.example("photo.tokens -o photo.png --model model.safetensors --preview steps.png", "tokens to image");
    spec.example("photo.jpg -o again.png --model model.safetensors --steps 4", "photo to tokens and back");
    spec.example("tokens -o pictures --model model.safetensors", "all token files of a folder");
    return spec;
}

bool holds_tokens(const std::string& path) {
    const io::MappedFile file(path);
    const std::string_view magic = io::detail::token_magic;
    return file.bytes().size() >= magic.size() && std::memcmp(file.bytes().data(), magic.data(), magic.size()) == 0;
}
/// A token file, or a photo.
struct Input {
    std::string path, name;  // as given or found, and what it is called there
    std::optional<PhotoList::Photo> photo = {};
};

/// The token files below a folder, in the order of their names.
std::vector<Input> tokens_in(const std::string& folder) {
    std::vector<Input> found;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file() && entry.path().extension() == ".tokens") {
            found.push_back({entry.path().string(), entry.path().lexically_relative(folder).string()});
        }
    }
    std::ranges::sort(found, {}, &Input::path);
    return found;
}

/// All that the words name. Says what else a file is, where it is neither tokens nor a photo.
std::vector<Input> inputs_of(const std::vector<std::string>& words) {
    std::vector<Input> inputs;
    for (const std::string& word : words) {
        const bool folder = fs::is_directory(word);
        std::vector<Input> found = folder ? tokens_in(word) : std::vector<Input>();
        if (!folder && holds_tokens(word)) {
            found.push_back({word, fs::path(word).filename().string()});
        }
        if (found.empty()) {
            if (!folder) {
                const io::MappedFile file(word);
                const std::string kind = io::file_kind(file.bytes());
                require(kind == "a PNG image" || kind == "a JPEG image" || kind == "a tar archive", word,
                        ": expected a flowfar token file, or a PNG or JPEG image", io::found_kind(file.bytes()));
            }
            for (const PhotoList::Photo& photo : PhotoList({word})) {
                found.push_back({photo.path, photo.name, photo});
            }
        }
        inputs.insert(inputs.end(), found.begin(), found.end());
    }
    return inputs;
}

/// Collects the estimates after some of the steps.
class Preview {
   public:
    void add(const TiledStep& step) {
        if (chosen(step)) {
            char caption[64];
            std::snprintf(caption, sizeof caption, "step %d\nt = %.3f", step.step, step.time);
            row_.cells.push_back({step.estimate, caption});
        }
    }
    [[nodiscard]] Image strip(int height, int width) const {
        ContactSheet sheet;
        sheet.scale = std::max(1, 128 / std::max(height, width));
        sheet.rows.push_back(row_);
        return render(sheet);
    }

   private:
    /// The last step, and others at even distances before it.
    [[nodiscard]] static bool chosen(const TiledStep& step) {
        return step.steps <= 8 || step.step * 8 / step.steps != (step.step - 1) * 8 / step.steps;
    }

    SheetRow row_;
};

/// The original as it was tokenized. Where the size does not tell how it was fitted, the tokens do. Throws Error if it
/// cannot be the original.
Image fitted_original(const Arguments& a, const AnyFlowMo& model, const io::TokenFile& file) {
    const Image photo = io::read_image(a.original);
    std::vector<Image> candidates;
    for (const char* fit : {"crop", "tile"}) {
        if (a.fit.empty() || a.fit == fit) {
            candidates.push_back(picture_of(photo, model.facts(), fit));
        }
    }
    const FlowMoFacts& facts = model.facts();
    if (a.fit != "crop" && file.overlap == 0 && photo.height >= facts.height && photo.width >= facts.width) {
        candidates.push_back(fit_photo(photo, facts, "tile"));  // tokens of the last version
    }
    std::erase_if(candidates,
                  [&](const Image& image) { return image.height != file.height || image.width != file.width; });
    require(!candidates.empty(), a.original, ": ", photo.height, " x ", photo.width, " pixels",
            a.fit.empty() ? "" : text(" with --fit ", a.fit), " do not become the ", file.height, " x ", file.width,
            " of the tokens; is it the original?");
    const bool first = candidates.size() == 1 ||
                       tokenize(model, candidates.front(), file.overlap).tokens.indices == file.tokens.indices;
    return first ? candidates.front() : candidates.back();
}

/// Where each input's image goes.
std::vector<fs::path> destinations(const Arguments& a, const std::vector<Input>& inputs) {
    const bool several = inputs.size() > 1 || fs::is_directory(a.inputs.front());
    if (!several && !fs::is_directory(a.out) && !a.out.ends_with('/')) {
        check_output_image("--out", a.out);
        return {a.out};
    }
    if (!a.original.empty() || !a.preview.empty()) {
        throw UsageError("--original and --preview are for one input and one image");
    }
    check_output_folder(a.out);
    std::vector<std::string> names;
    for (const Input& input : inputs) {
        names.push_back(input.name);
    }
    return files_in(a.out, names, ".png");
}

void reconstruct_one(const Arguments& a, const AnyFlowMo& model, const Input& input, const fs::path& out,
                     Stages stages) {
    const FlowMoDecodeOptions options = a.sampling.options();
    io::TokenFile file;
    std::optional<Image> original;
    if (input.photo) {
        original = picture_of(input.photo->load(), model.facts(), a.fit.empty() ? "crop" : a.fit);
        file = tokenize(model, *original, chosen_overlap(a.overlap, model.facts()));
        stages.done("encode");
    } else {
        file = io::read_tokens(input.path);
        check_tokens(model, file, input.path);
        if (!a.original.empty()) {
            original = fitted_original(a, model, file);
        }
        stages.done("read");
    }
    const int height = static_cast<int>(file.height);
    const int width = static_cast<int>(file.width);
    Preview preview;
    AnyFlowMo::PictureCallback callback;
    if (!a.preview.empty()) {
        callback = [&](const TiledStep& step) { preview.add(step); };
    }
    const Image image = reconstruct(model, file, options, callback);
    stages.done(text("decode (", options.steps, options.steps == 1 ? " step)" : " steps)"));
    if (out != fs::path(a.out)) {
        fs::create_directories(out.parent_path());
    }
    io::write_image(out, image);
    if (!a.preview.empty()) {
        io::write_png(a.preview, preview.strip(height, width));
    }
    stages.done("write");
    std::printf("%s -> %s: %s\n", printable(input.path).c_str(), printable(out.string()).c_str(),
                token_summary(file).c_str());
    if (original) {
        std::printf("  PSNR, SSIM: %s\n", quality_of(*original, image).shown().c_str());
    }
    std::printf("  time: %s\n", stages.shown().c_str());
    std::fflush(stdout);
}

void run(const Arguments& a) {
    static_cast<void>(a.sampling.options());  // refuses impossible ones before the model is read
    const std::vector<Input> inputs = inputs_of(a.inputs);
    const std::vector<fs::path> outs = destinations(a, inputs);
    check_output_image("--preview", a.preview, ImageFormats::png);
    check_different({{"--out", outs.front().string()}, {"--preview", a.preview}});
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        check_not_input(outs[i].string(), {inputs[i].path, a.original, a.model});
        check_not_input(a.preview, {inputs[i].path, a.original, a.model});
    }
    const bool photos = std::ranges::any_of(inputs, [](const Input& input) { return input.photo.has_value(); });
    if (a.overlap && !(photos && a.fit == "tile")) {
        throw UsageError("--overlap is for photos with --fit tile; token files know theirs");
    }
    if (!a.fit.empty() && !photos && a.original.empty()) {
        throw UsageError("--fit is for photos; token files know theirs");
    }
    if (!a.original.empty() && inputs.front().photo) {
        throw UsageError("--original is for token files; a photo is compared with itself");
    }
    const Computing computing = a.sampling.compute.apply();
    Stages stages;
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    stages.done("load");
    auto out = outs.begin();
    for (const Input& input : inputs) {
        reconstruct_one(a, *model, input, *out++, std::exchange(stages, {}));
    }
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { run(arguments); });
}
