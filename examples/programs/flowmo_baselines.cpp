// FlowMo against JPEG and thumbnails of the same number of bytes, on photos that the training did not see.

#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "flowfar/core/philox.hpp"
#include "flowfar/io/images/image.hpp"

#include "common/cli/flowmo_options.hpp"
#include "common/measures/flowmo_reports.hpp"
#include "common/models/flowmo_codec.hpp"
#include "common/training/data_key.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments {
    std::string data, model;
    Index validation = 64, count = 64;
    int size = 0, resize = 0;
    bool unseen = false;
    std::uint64_t split_seed = 0;
    SamplingArguments sampling;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_baselines",
              "Compares FlowMo with JPEG and with bicubic thumbnails of the same number of bytes on held-back photos, "
              "and prints a markdown table of mean PSNR and SSIM.");
    spec.positional("DATA", a.data, "the images that flowmo_train was given: a folder or tar").alias("--data");
    spec.flag("unseen", a.unseen, "none of DATA were trained on: compare on all of them, whatever the model says");
    add_model_options(spec, a.model, a.sampling);
    spec.option("validation", a.validation, "images held back, as in flowmo_train; by default, what the model says")
        .at_least(1);
    spec.option("split-seed", a.split_seed,
                "the --split-seed or --seed of flowmo_train; by default, what the model says");
    spec.option("count", a.count, "images to compare on").at_least(1);
    spec.option("size", a.size, "height and width of the compared images, in whole tiles; 0: one tile").at_least(0);
    spec.option("resize", a.resize, "short side of the photos before the middle is taken; 0: --size").at_least(0);
    add_sampling_options(spec, a.sampling, StepsOption::absent);
    return spec;
}

/// Sums over the images that a method could code.
struct Tally {
    double psnr = 0, ssim = 0, bytes = 0;
    Index count = 0, tried = 0;

    void add(const Quality& quality, std::size_t size) {
        psnr += quality.psnr;
        ssim += quality.ssim;
        bytes += static_cast<double>(size);
        ++count;
    }
};

/// Bytes of a baseline JPEG that are picture data: what follows the first start-of-scan header, without the end marker.
std::size_t scan_bytes(const std::vector<std::byte>& jpeg) {
    std::size_t at = 2;
    while (at + 4 <= jpeg.size()) {
        const auto length =
            std::to_integer<std::size_t>(jpeg[at + 2]) << 8 | std::to_integer<std::size_t>(jpeg[at + 3]);
        const bool scan = jpeg[at + 1] == std::byte{0xDA};
        at += 2 + length;
        if (scan) {
            return jpeg.size() - at - 2;
        }
    }
    fail("scan_bytes: no scan in the JPEG");
}

/// JPEG at the highest quality of at most `budget` bytes; `smallest` is updated with the size at quality 1.
template <class SizeOf>
void try_jpeg(const Image& image, std::size_t budget, SizeOf&& size_of, Tally& tally, std::size_t& smallest) {
    ++tally.tried;
    smallest = std::min(smallest, static_cast<std::size_t>(size_of(io::encode_jpeg(image, 1))));
    for (int quality = 100; quality >= 1; --quality) {
        const std::vector<std::byte> jpeg = io::encode_jpeg(image, quality);
        if (size_of(jpeg) <= budget) {
            tally.add(quality_of(image, io::decode_image(jpeg, "JPEG")), size_of(jpeg));
            return;
        }
    }
}

/// The best of all thumbnails of 3 · width · height <= budget bytes with sides in a ratio of at most two.
void try_thumbnail(const Image& image, std::size_t budget, Tally& tally) {
    ++tally.tried;
    std::optional<Quality> best;
    std::size_t size = 0;
    const int pixels = static_cast<int>(std::min<std::size_t>(budget / 3, 1 << 28));
    for (int width = 1; width <= std::min(image.width, pixels); ++width) {
        const int height = std::min(image.height, pixels / width);
        if (width > 2 * height || height > 2 * width) {
            continue;
        }
        const Image small = io::resize(image, height, width, io::Filter::bicubic);
        const Quality quality = quality_of(image, io::resize(small, image.height, image.width, io::Filter::bicubic));
        if (!best || quality.psnr > best->psnr) {
            best = quality;
            size = small.pixels.size();
        }
    }
    if (best) {
        tally.add(*best, size);
    }
}

void print_row(const std::string& method, const Tally& tally, Index pixels, const std::string& otherwise) {
    if (tally.count == 0) {
        std::printf("| %s | cannot: %s | | | |\n", method.c_str(), otherwise.c_str());
        return;
    }
    const auto n = static_cast<double>(tally.count);
    std::string name = method;
    if (tally.count < tally.tried) {
        name += text(" (cannot for ", tally.tried - tally.count, " of ", tally.tried, ")");
    }
    std::printf("| %s | %.0f | %.3f | %.2f dB | %.3f |\n", name.c_str(), tally.bytes / n,
                8 * tally.bytes / n / static_cast<double>(pixels), tally.psnr / n, tally.ssim / n);
}

using Metadata = std::map<std::string, std::string>;

/// What the user did not say is taken from the model's metadata.
void fill_in(Arguments& a, const Spec& spec, const Metadata& metadata) {
    const auto number = [&](const char* key) { return metadata.contains(key) ? std::stoull(metadata.at(key)) : 0ULL; };
    if (!spec.given("validation") && number("validation") > 0) {
        a.validation = static_cast<Index>(number("validation"));
    }
    if (!spec.given("split-seed")) {
        a.split_seed = number(metadata.contains("split-seed") ? "split-seed" : "seed");
    }
    if (!spec.given("resize")) {
        a.resize = static_cast<int>(number("resize"));
    }
}

/// The images that the model's training held back. Throws Error where that cannot be: the choice depends on the names
/// of all images, so in another set some of the chosen ones would have been trained on.
io::ImageDataset held_back(const Arguments& a, const io::ImageDataset& data, const Metadata& metadata) {
    constexpr const char* otherwise = "; for images that the model has not seen, say --unseen";
    const auto trained = metadata.find("data");
    require(trained != metadata.end(), a.model, ": does not say what it was trained on", otherwise);
    require(trained->second == data_key(data), a.data, ": not the images that ", a.model, " was trained on: it had ",
            trained->second, ", these are ", data_key(data), otherwise);
    require(a.validation <= data.size(), a.data, ": has ", data.size(), " images, fewer than --validation ",
            a.validation);
    return data.split(a.validation, a.split_seed).validation;
}

void run(Arguments& a, const Spec& spec) {
    FlowMoDecodeOptions options = a.sampling.options();
    const Computing computing = a.sampling.compute.apply();
    const io::WeightsFile::Notes notes = io::WeightsFile(a.model).notes();
    const Metadata metadata(notes.begin(), notes.end());
    fill_in(a, spec, metadata);
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    FlowMoFacts frame = model->facts();  // of the compared images instead of one tile
    if (a.size > 0) {
        require(a.size % frame.height == 0 && a.size % frame.width == 0, "--size ", a.size,
                " is not a multiple of the model's ", frame.height, " x ", frame.width, " pixels");
        frame.height = frame.width = a.size;
    }
    const io::ImageDataset data(a.data);
    Index skipped = 0;
    const std::vector<Image> images =
        load_fitted(a.unseen ? data : held_back(a, data, metadata), frame, a.count, a.resize, skipped);
    require(!images.empty(), a.data, ": no readable held-back images");

    std::vector<io::TokenFile> tokens;
    for (const Image& image : images) {
        tokens.push_back(tokenize(*model, image));
    }
    const auto budget = static_cast<std::size_t>(payload_bytes(tokens.front()));
    const Index pixels = Index{frame.height} * frame.width;
    std::printf(
        "%zu %simages of %d x %d pixels, at most %zu bytes each; guidance %g; SSIM with a uniform 7 x 7 "
        "window.\n\n",
        images.size(), a.unseen ? "" : "held-back ", frame.height, frame.width, budget, options.guidance);
    std::printf("| method | bytes | bits per pixel | PSNR | SSIM |\n|---|---|---|---|---|\n");
    const std::uint64_t seed = options.seed;
    for (const int steps : {1, 4, 25}) {
        options.steps = steps;
        Tally tally;
        for (std::size_t i = 0; i < images.size(); ++i) {
            ++tally.tried;
            options.seed = fold(seed, i);  // noise of its own for each image
            tally.add(quality_of(images[i], reconstruct(*model, tokens[i], options)), budget);
        }
        print_row(text(frame.name, ", ", steps_text(steps)), tally, pixels, "");
        std::fflush(stdout);
    }
    constexpr std::size_t unknown = std::numeric_limits<std::size_t>::max();
    Tally whole, scan, thumbnail;
    std::size_t smallest_whole = unknown, smallest_scan = unknown;
    for (const Image& image : images) {
        try_jpeg(image, budget, [](const auto& jpeg) { return jpeg.size(); }, whole, smallest_whole);
        try_jpeg(image, budget, scan_bytes, scan, smallest_scan);
        try_thumbnail(image, budget, thumbnail);
    }
    print_row("JPEG", whole, pixels, text("at least ", smallest_whole, " bytes"));
    print_row("JPEG, headers and tables not counted", scan, pixels, text("at least ", smallest_scan, " bytes"));
    print_row("bicubic thumbnail", thumbnail, pixels, "no pixel fits");
    if (skipped > 0) {
        std::printf("\nunreadable files skipped: %lld\n", static_cast<long long>(skipped));
    }
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { run(arguments, spec); });
}
