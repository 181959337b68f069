// Compares two sets of images with the field's metrics; see --help.

#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include "flowfar/io/data/dataset.hpp"

#include "common/cli/compute_options.hpp"
#include "common/cli/printable.hpp"
#include "common/cli/progress.hpp"
#include "common/files/outputs.hpp"
#include "common/measures/measures.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments : MeasureArguments {
    std::string orientation = "upright", reference, images, json, lines, save_statistics;
    bool pairs = true, by_order = false;
    Index count = 0;
    ComputeArguments compute;
};

Spec make_spec(Arguments& a) {
    Spec spec("image_metrics",
              "Compares images with reference images: pair by pair (PSNR, SSIM, LPIPS), and as sets in the features of "
              "the Inception network (FID, sFID, Inception Score, precision, recall). Networks are read from files. "
              "PSNR and SSIM are computed on 8-bit RGB values 0..255 (scikit-image with data_range=255). The mean PSNR "
              "is infinite as soon as one pair is equal; the mean of the others is then given, too.");
    spec.positional("REFERENCE", a.reference, "folder or tar of images, one image, or statistics (.npz: mu, sigma)");
    spec.positional("IMAGES", a.images, "folder or tar of the images to judge, or one image").alias("--data");
    spec.section("Pairs");
    spec.flag("pairs", a.pairs, "compare images of equal names but for their endings");
    spec.flag("by-order", a.by_order, "pair images whatever their names, in the order of these");
    spec.option("lines", a.lines,
                "also write the numbers of each pair, one JSON object a line; an infinite PSNR is "
                "\"inf\", an SSIM that an image is too small for null")
        .placeholder("FILE");
    add_lpips_options(spec, a);
    spec.section("Sets");
    add_set_options(spec, a);
    spec.option("save-statistics", a.save_statistics, "write mu and sigma of IMAGES as a later REFERENCE")
        .placeholder("FILE.npz");
    spec.section("Run");
    spec.option("count", a.count, "use only the first images of each set; 0: all").at_least(0).formerly("--limit");
    add_orientation_option(spec, a.orientation);
    add_compute_options(spec, a.compute);
    spec.option("json", a.json, "also write the numbers to a file").placeholder("FILE");
    spec.example("photos reconstructions", "PSNR and SSIM of reconstructions");
    spec.example(
        "imagenet.npz samples.tar --inception pt_inception-2015-12-05-6726825d.pth --convention adm --no-pairs",
        "FID, sFID and Inception Score of samples against published statistics");
    return spec;
}

void compare_pairs(const Arguments& a, Device device, const io::ImageDataset& reference, const io::ImageDataset& images,
                   Json& json) {
    Progress progress("pairs", images.size());
    Index done = 0;
    std::string lines;
    const PairReport found = measure_pairs(reference, images, a.by_order, a.make_lpips(device),
                                           [&](const std::string& name, const PairNumbers& numbers) {
                                               progress.update(++done, std::nan(""), 1);
                                               if (const std::string note = ssim_note(name, numbers); !note.empty()) {
                                                   progress.note(printable(note));
                                               }
                                               Json line;
                                               set_name(line, "name", name);
                                               line.update(json_of(numbers, a.lpips));
                                               lines += dumped(line) + '\n';
                                           });
    progress.finish();
    if (!a.lines.empty()) {
        io::write_atomically(a.lines, std::as_bytes(std::span(lines)));
    }
    std::printf("%lld pairs of 8-bit RGB images, %s against %s\n", static_cast<long long>(found.pairs),
                a.images.c_str(), a.reference.c_str());
    json["pairs"] = report_pairs(found, a);
}

void compare_sets(const Arguments& a, InceptionJudge& judge, const std::optional<io::ImageDataset>& reference,
                  const io::ImageDataset& images, Json& json) {
    const auto features_of = [&](const io::ImageDataset& set, const char* label) {
        Progress progress(label, set.size());
        Index before = 0;
        return judge.features(set, a.batch, [&](Index done) {
            progress.update(done, std::nan(""), done - before);
            before = done;
        });
    };
    const InceptionFeatures found = features_of(images, "images");
    InceptionFeatures real;
    if (reference) {
        real = features_of(*reference, "reference");
    } else {
        real.summary = io::load_statistics(a.reference);
    }
    std::printf("%lld images of %s against %s, convention %s\n", static_cast<long long>(images.size()),
                a.images.c_str(), a.reference.c_str(), a.convention.c_str());
    json["sets"] = report_sets(real, a.reference, found, a);
    if (!a.save_statistics.empty()) {
        io::save_statistics(a.save_statistics, found.summary);
    }
}

void run(const Arguments& a) {
    const Computing computing = a.compute.apply();
    const bool from_statistics = io::Path(a.reference).extension() == ".npz";
    a.check();
    if (a.inception.empty() && (from_statistics || !a.save_statistics.empty())) {
        throw UsageError("statistics need the network: give --inception");
    }
    const bool pairs = a.pairs && !from_statistics;
    if (!pairs && a.inception.empty()) {
        throw UsageError("nothing to measure: without pairs, give --inception");
    }
    for (const std::string& file : {a.json, a.lines, a.save_statistics}) {
        check_output_file(file);
        check_not_input(file, {a.images, a.reference, a.inception});
    }
    check_different({{"--json", a.json}, {"--lines", a.lines}, {"--save-statistics", a.save_statistics}});
    if (from_statistics) {  // a file that cannot be read is told before the images are
        check_reference(io::load_statistics(a.reference), a.reference, metrics::fid_convention(a.convention));
    }
    std::optional<InceptionJudge> judge;
    if (!a.inception.empty()) {
        judge.emplace(a.make_judge(computing.device));
    }
    const io::ImageDataset images = open_images(a.images, a.count, a.orientation);
    std::optional<io::ImageDataset> reference;
    if (!from_statistics) {
        reference = open_images(a.reference, a.count, a.orientation);
    }
    Json json;
    if (pairs) {
        compare_pairs(a, computing.device, *reference, images, json);
    }
    if (!a.inception.empty()) {
        compare_sets(a, *judge, reference, images, json);
    }
    if (!a.json.empty()) {
        write_json(a.json, json);
    }
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { run(arguments); });
}
