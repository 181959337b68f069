// Reconstructs a set of photos with a FlowMo and measures what is lost; see --help.

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "common/cli/flowmo_options.hpp"
#include "common/cli/interrupt.hpp"
#include "common/cli/printable.hpp"
#include "common/cli/progress.hpp"
#include "common/draw/contact_sheet.hpp"
#include "common/draw/extremes.hpp"
#include "common/files/outputs.hpp"
#include "common/measures/codebook_usage.hpp"
#include "common/measures/flowmo_evaluation.hpp"
#include "common/measures/measures.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
namespace fs = std::filesystem;

struct Arguments : MeasureArguments {
    std::string orientation = "upright", images, model, fit = "crop", json, lines, sheet, save, rank = "psnr";
    Index count = 0, shown = 4;
    SamplingArguments sampling;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_evaluate",
              "Reconstructs photos with a FlowMo and reports the usual measures of tokenizers: bits per pixel, use "
              "of the codebook, PSNR, SSIM, and with the networks' files LPIPS, FID, sFID, Inception Score, precision "
              "and recall against the photos as they were tokenized. Photos are read one batch at a time; only the "
              "Inception network's outputs are kept, 12 KB a photo and twice that with the originals'.");
    spec.positional("IMAGES", a.images, "folder or tar of photos, or one photo; unreadable ones are named and left out")
        .alias("--data");
    add_model_options(spec, a.model, a.sampling);
    spec.option("fit", a.fit,
                "photos of another size than the model's: crop: the short side is resized to the model's size and the "
                "middle kept; tile: the middle is cut into tiles of the model's size")
        .choices({"crop", "tile"});
    spec.option("count", a.count, "use only the first photos; 0: all").at_least(0).formerly("--limit");
    add_orientation_option(spec, a.orientation);
    spec.section("Results");
    spec.option("json", a.json, "also write the numbers to a file").placeholder("FILE");
    spec.option("lines", a.lines, "also write the numbers of each photo, one JSON object a line").placeholder("FILE");
    spec.option("sheet", a.sheet, "also draw the best and worst photos beside their reconstructions")
        .placeholder("FILE.png");
    spec.option("shown", a.shown, "photos on each side of the sheet").range(1, 64);
    spec.option("rank", a.rank, "what makes a reconstruction good").choices({"psnr", "ssim", "lpips"});
    spec.option("out", a.save, "folder for the photos as they were tokenized (original) and again (reconstruction)")
        .alias("-o")
        .placeholder("DIR")
        .formerly("--save");
    spec.section("Measures");
    add_lpips_options(spec, a);
    add_set_options(spec, a);
    add_sampling_options(spec, a.sampling);
    spec.example("photos --model model.safetensors --sheet sheet.png", "what the model does well and badly");
    spec.example(
        "val.tar --model model.safetensors --inception pt_inception-2015-12-05-6726825d.pth --convention flowmo --json "
        "rfid.json",
        "rFID as in FlowMo's reference, on reconstructions that are not rounded");
    return spec;
}

/// Throws for results that could not be written, before hours are spent on them.
void check_results(const Arguments& a) {
    check_output_image("--sheet", a.sheet, ImageFormats::png);
    if (a.rank == "lpips" && a.lpips_network.empty()) {
        throw UsageError("--rank lpips needs --lpips-network and --lpips-weights");
    }
    check_output_file(a.json);
    check_output_file(a.lines);
    check_different({{"--sheet", a.sheet}, {"--json", a.json}, {"--lines", a.lines}});
    for (const std::string& file : {a.sheet, a.json, a.lines}) {
        check_not_input(file, {a.images, a.model});
    }
    check_output_folder(a.save);
}

/// What is remembered of a photo for the sheet.
struct Example {
    std::string name;
    PairNumbers numbers;
    Image original, reconstruction;
};

class Evaluation {
   public:
    Evaluation(const Arguments& a, Device device, const AnyFlowMo& model)
        : a_(a),
          model_(model),
          photos_(model, open_images(a.images, a.count, a.orientation), a.fit, a.sampling.options()),
          pairs_(a.make_lpips(device)),
          extremes_(static_cast<std::size_t>(a.shown)) {
        if (!a.inception.empty()) {
            const InceptionJudge judge = a.make_judge(device);
            quantized_ = judge.convention().quantized;
            real_.emplace(judge.start());
            again_.emplace(judge.start());
        }
        if (!a.save.empty()) {
            fs::create_directories(fs::path(a.save) / "original");
            fs::create_directories(fs::path(a.save) / "reconstruction");
        }
    }

    int operator()() {
        const InterruptGuard interrupt;
        Progress progress("evaluate", photos_.size());
        while (!photos_.done() && !interrupt.requested()) {
            const Index before = photos_.taken();
            const auto [chunk, tokens] = photos_.next([&](const std::string& name, const std::string& reason) {
                progress.note(printable(text("skipped ", name, ": ", reason)));
                ++skipped_;
            });
            usage_.add(tokens);
            for (const Reconstructed& one : chunk) {
                if (!interrupt.requested()) {
                    measure(one, progress);
                    progress.update(before + 1, std::nan(""), 1);
                }
            }
            progress.update(photos_.taken(), std::nan(""), 0);
        }
        progress.finish();
        if (pairs_.count() > 0) {
            report(interrupt.requested());
        } else {
            require(interrupt.requested(), a_.images, ": none of the ", photos_.size(), " photos could be read");
            std::printf("interrupted before the first photo was measured; nothing was written\n");
        }
        return interrupt.exit_code();
    }

   private:
    void measure(const Reconstructed& one, Progress& progress) {
        const PairNumbers numbers = pairs_.add(one.original, one.image);
        if (const std::string note = ssim_note(one.name, numbers); !note.empty()) {
            progress.note(printable(note));
        }
        pixels_ += static_cast<Index>(one.original.pixels.size()) / 3;
        tiles_ += one.tiles;
        if (!a_.lines.empty()) {
            Json line;
            set_name(line, "name", one.name);
            line.update({{"height", one.original.height}, {"width", one.original.width}, {"bytes", bytes(one.tiles)}});
            line.update(json_of(numbers, a_.lpips));
            lines_ += dumped(line) + '\n';
        }
        if (!a_.sheet.empty()) {
            const double score = a_.rank == "psnr"   ? numbers.psnr
                                 : a_.rank == "ssim" ? numbers.ssim_uniform.value_or(-2)
                                                     : -numbers.lpips.value_or(0.0);
            extremes_.add(score, {one.name, numbers, small(one.original), small(one.image)});
        }
        if (real_) {
            const auto [height, width] = std::pair(one.original.height, one.original.width);
            add(*real_, real_input_, to_planes({&one.original, 1}), height, width);
            add(*again_, again_input_, quantized_ ? to_planes({&one.image, 1}) : one.planes, height, width);
        }
        if (!a_.save.empty()) {
            save(one);
        }
    }

    /// Collects photos until they fill a pass of the Inception network; see finish_sets() for the rest.
    void add(InceptionSet& set, std::vector<float>& input, const std::vector<float>& planes, int height, int width) {
        const std::vector<float> prepared = set.prepare(planes, height, width);
        input.insert(input.end(), prepared.begin(), prepared.end());
        if (input.size() >= static_cast<std::size_t>(a_.batch) * prepared.size()) {
            set.add_prepared(input);
            input.clear();
        }
    }
    static InceptionFeatures finish(InceptionSet& set, const std::vector<float>& input) {
        if (!input.empty()) {
            set.add_prepared(input);
        }
        return set.finish();
    }

    /// The number keeps names apart; of long ones, the beginning fits beside it into a file's name.
    void save(const Reconstructed& one) const {
        char number[32];
        std::snprintf(number, sizeof number, "%06lld_", static_cast<long long>(pairs_.count() - 1));
        const std::string name = number + fs::path(one.name).stem().string().substr(0, 200) + ".png";
        io::write_png(fs::path(a_.save) / "original" / name, one.original);
        io::write_png(fs::path(a_.save) / "reconstruction" / name, one.image);
    }

    /// At most 256 pixels on the longer side, for the sheet.
    static Image small(const Image& image) {
        const int longer = std::max(image.height, image.width);
        if (longer <= 256) {
            return image;
        }
        return io::resize(image, std::max(1, image.height * 256 / longer), std::max(1, image.width * 256 / longer));
    }

    [[nodiscard]] Index bytes(Index tiles) const { return tiles * ((model_.facts().bits_per_image() + 7) / 8); }

    void report(bool interrupted) {
        const FlowMoFacts& facts = model_.facts();
        const Index count = pairs_.count();
        if (interrupted) {
            std::printf("interrupted after %lld of %lld photos; what follows is of these, without the networks' sets\n",
                        static_cast<long long>(count + skipped_), static_cast<long long>(photos_.size()));
        }
        std::printf("%lld photos of %s by %s (%s), %d steps, guidance %g\n", static_cast<long long>(count),
                    a_.images.c_str(), a_.model.c_str(), facts.name.c_str(), a_.sampling.steps, a_.sampling.guidance);
        const double bits = static_cast<double>(tiles_ * facts.bits_per_image());
        const double per_pixel = bits / static_cast<double>(pixels_);
        const double entropy = usage_.entropy();
        std::printf("  size           %.1f bytes per photo, %.4f bits per pixel (%.4f at the codewords' entropy)\n",
                    static_cast<double>(bytes(tiles_)) / static_cast<double>(count), per_pixel,
                    per_pixel * entropy / static_cast<double>(usage_.bits()));
        std::printf("  codebook       %lld of %lld codewords used, entropy %.3f of %lld bits, %lld codewords seen\n",
                    static_cast<long long>(usage_.used()), static_cast<long long>(usage_.available()), entropy,
                    static_cast<long long>(usage_.bits()), static_cast<long long>(usage_.seen()));
        Json json = {{"images", count},
                     {"skipped", skipped_},
                     {"fitted", photos_.fitted()},
                     {"interrupted", interrupted},
                     {"data", nullptr},
                     {"model", nullptr},
                     {"configuration", facts.name},
                     {"fit", a_.fit},
                     {"sampling", sampling()},
                     {"bytes", bytes(tiles_)},
                     {"bits_per_pixel", per_pixel},
                     {"codebook",
                      {{"codewords", usage_.available()},
                       {"used", usage_.used()},
                       {"entropy", entropy},
                       {"bits", usage_.bits()},
                       {"seen", usage_.seen()}}}};
        set_name(json, "data", a_.images);
        set_name(json, "model", a_.model);
        json["pairs"] = report_pairs(pairs_.report(), a_);
        if (real_ && !interrupted) {
            std::printf("  convention %s, against the same photos as they were tokenized:\n", a_.convention.c_str());
            json["sets"] =
                report_sets(finish(*real_, real_input_), "the same photos", finish(*again_, again_input_), a_);
        }
        const double seconds = photos_.encode_seconds() + photos_.decode_seconds();
        json["seconds"] = {{"encode", photos_.encode_seconds()}, {"decode", photos_.decode_seconds()}};
        std::printf("  time           encode %.2f s, decode %.2f s: %s photos/s\n", photos_.encode_seconds(),
                    photos_.decode_seconds(), format_rate(static_cast<double>(count) / seconds).c_str());
        if (photos_.fitted() > 0) {
            std::printf("%lld photos were of another size: %s\n", static_cast<long long>(photos_.fitted()),
                        a_.fit == "crop" ? text("the short side was resized to ", std::max(facts.height, facts.width),
                                                " pixels and the middle kept")
                                               .c_str()
                                         : "the middle that whole tiles cover was kept");
        }
        if (skipped_ > 0) {
            std::printf("%lld photos were skipped\n", static_cast<long long>(skipped_));
        }
        write(json);
    }

    [[nodiscard]] Json sampling() const {
        const SamplingArguments& s = a_.sampling;
        return {{"steps", s.steps},
                {"guidance", s.guidance},
                {"power", s.power},
                {"interval", s.interval},
                {"seed", s.seed}};
    }

    void write(const Json& json) const {
        if (!a_.lines.empty()) {
            io::write_atomically(a_.lines, std::as_bytes(std::span(lines_)));
        }
        if (!a_.json.empty()) {
            write_json(a_.json, json);
        }
        if (!a_.sheet.empty()) {
            io::write_png(a_.sheet, render(drawn()));
            std::printf("best and worst photos: %s\n", a_.sheet.c_str());
        }
    }

    [[nodiscard]] ContactSheet drawn() const {
        ContactSheet sheet;
        sheet.title = text(model_.facts().name, ": ", pairs_.count(), " photos, the best and worst by ", a_.rank);
        sheet.columns = {"best", "reconstruction", "worst", "reconstruction"};
        int largest = 1;
        for (std::size_t i = 0; i < extremes_.best().size(); ++i) {
            SheetRow& row = sheet.rows.emplace_back();
            for (const Example* example : {&extremes_.best()[i].item, &extremes_.worst()[i].item}) {
                row.cells.push_back({example->original, shortened(example->name)});
                row.cells.push_back({example->reconstruction, caption(example->numbers)});
                largest = std::max({largest, example->original.height, example->original.width});
            }
        }
        sheet.scale = std::max(1, 160 / largest);
        return sheet;
    }
    [[nodiscard]] static std::string shortened(const std::string& path) {
        const std::string name = fs::path(path).filename().string();
        return name.size() <= 20 ? name : name.substr(0, 17) + "...";
    }
    [[nodiscard]] static std::string caption(const PairNumbers& numbers) {
        char line[64];
        std::snprintf(line, sizeof line, numbers.ssim_uniform ? "%.2f dB, %.3f" : "%.2f dB", numbers.psnr,
                      numbers.ssim_uniform.value_or(0.0));
        std::string out = line;
        if (numbers.lpips) {
            std::snprintf(line, sizeof line, "\nLPIPS %.4f", *numbers.lpips);
            out += line;
        }
        return out;
    }

    const Arguments& a_;
    const AnyFlowMo& model_;
    FlowMoEvaluation photos_;
    PairMeasures pairs_;
    CodebookUsage usage_;
    Extremes<Example> extremes_;
    std::optional<InceptionSet> real_, again_;
    std::vector<float> real_input_, again_input_;
    bool quantized_ = true;  // whether the convention rounds images to 8 bits
    std::string lines_;
    Index pixels_ = 0, tiles_ = 0, skipped_ = 0;
};

int run(const Arguments& a) {
    a.check();
    check_results(a);
    static_cast<void>(a.sampling.options());  // refuses impossible ones before the model is read
    const Computing computing = a.sampling.compute.apply();
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    return Evaluation(a, computing.device, *model)();
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { return run(arguments); });
}
