// Looks into files of weights, compares and converts them; see --help.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "flowfar/io/bytes/zip_archive.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/cli/cli.hpp"
#include "common/cli/printable.hpp"
#include "common/cli/tensor_listing.hpp"
#include "common/cli/tensor_statistics.hpp"
#include "common/files/tensor_selection.hpp"
#include "common/models/tensor_copy.hpp"
#include "common/models/unread_tensors.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
namespace fs = std::filesystem;

struct Arguments {
    std::string command, file, other, out, root, other_root, filter, dtype = "keep";
    int depth = 3;
    double tolerance = 0;
    bool tree = false, notes = false, all = false;
};

Spec make_spec(Arguments& a) {
    Spec spec(
        "checkpoint_tool",
        "Looks into files of weights (PyTorch, safetensors), compares, checks and converts them. Nothing in such a "
        "file is executed; memory holds one tensor at a time.");
    spec.positional(
            "COMMAND", a.command,
            "list: names, shapes, types, sizes; convert: to another format or type, names as they are; extract: one "
            "part, by its own names (without \"module.\" and \"_orig_mod.\", which wrappers leave); diff: compare with "
            "OTHER (exit code 1 if they differ); verify: checksums, NaN and infinities (exit code 1 if a checksum is "
            "wrong, a value is not finite, a tensor cannot be checked because its type is unknown here, or there is "
            "none)")
        .choices({"list", "convert", "extract", "diff", "verify"});
    spec.positional("FILE", a.file, "weights; or a folder with model.safetensors.index.json");
    spec.positional("OTHER", a.other, "diff: the second file").optional();
    spec.option("out", a.out, "convert, extract: what to write; ends in .safetensors, .pth, .pt or .ckpt")
        .alias("-o")
        .placeholder("FILE");
    spec.option("root", a.root,
                "the part to use, such as model_ema; extract: by default the first that a published checkpoint would "
                "have (averaged weights before plain ones); else everything")
        .placeholder("NAME");
    spec.option("other-root", a.other_root, "diff: the part of OTHER").placeholder("NAME");
    spec.option("dtype", a.dtype, "convert, extract: element type of floating-point tensors")
        .choices({"keep", "f32", "bf16", "f16"});
    spec.option("tolerance", a.tolerance, "diff: the relative difference of a tensor that still counts as equal")
        .at_least(0);
    spec.flag("all", a.all, "diff, verify: show every tensor, not only those with something to say");
    spec.option("filter", a.filter, "list, diff, verify: only tensors whose name contains this");
    spec.flag("tree", a.tree, "list: sums per part of the names instead of tensors");
    spec.option("depth", a.depth, "list --tree: levels to show").range(1, 64);
    spec.flag("notes", a.notes, "list: also what is not a tensor (metadata, numbers, settings)");
    spec.example("list flowmo_lo.pth --tree", "what is in a published checkpoint");
    spec.example("extract flowmo_lo.pth -o flowmo_lo.safetensors --dtype bf16", "the averaged weights, half as large");
    spec.example("diff a.pth b.safetensors --root model_ema --tolerance 1e-3", "are they the same but for rounding?");
    return spec;
}

// ---- list

void list(const Arguments& a) {
    const io::WeightsFile file(a.file);
    if (!a.notes) {
        file.require_tensors();
    }
    const std::vector<std::string> names = selected_names(file, a.root, a.filter);
    TensorSums all;
    for (const std::string& name : names) {
        all.add(file.info(name), name);
    }
    std::printf("%s: %s, %s\n", a.file.c_str(), std::string(file.format()).c_str(), all.shown().c_str());
    if (a.tree) {
        TensorTree tree(a.depth);
        for (const std::string& name : names) {
            tree.add(file.info(name), name);
        }
        std::fputs(tree.shown().c_str(), stdout);
    } else {
        for (const std::string& name : names) {
            const io::TensorInfo info = file.info(name);
            std::printf("%s %s %s %s\n", printable(name).c_str(), io::shape_text(info.shape).c_str(),
                        std::string(info.type).c_str(), format_bytes(info.size).c_str());
        }
    }
    std::fflush(stdout);
    static_cast<void>(report_unread(file, a.root, a.filter));
    if (a.notes) {
        for (const auto& [name, value] : file.notes()) {
            std::printf("note %s = %s\n", printable(name).c_str(), printable(value).c_str());
        }
    }
}

// ---- convert, extract

/// What safetensors files keep of the notes: all that another safetensors file has; of PyTorch's the settings of the
/// training run, which tell FAR models apart.
void keep_notes(const io::WeightsFile& file, io::SafetensorsWriter& writer) {
    constexpr std::size_t value_limit = 256;
    std::size_t left = 1000;
    for (const auto& [name, value] : file.notes()) {
        if (file.torch() == nullptr) {
            writer.set_metadata(name, value);
        } else if (name.starts_with("args.") && value.size() <= value_limit && left > 0) {
            try {
                writer.set_metadata(name, value);
                --left;
            } catch (const Error&) {  // not UTF-8, as safetensors must be: left out
            }
        }
    }
}

void convert(const Arguments& a, const std::string& root) {
    static const std::map<std::string, DType> types{{"f32", DType::f32}, {"bf16", DType::bf16}, {"f16", DType::f16}};
    const std::string extension = fs::path(a.out).extension().string();
    const bool torch = extension == ".pth" || extension == ".pt" || extension == ".ckpt";
    if (!torch && extension != ".safetensors") {
        throw UsageError(text("--out: \"", a.out, "\": expected a name that ends in .safetensors, .pth, .pt or .ckpt"));
    }
    const io::WeightsFile file(a.file);
    file.require_tensors();
    const std::size_t unread = report_unread(file, root);
    require(unread == 0, a.file, ": ", unread, unread == 1 ? " tensor" : " tensors",
            " cannot be read, so that the result would lack them");
    const io::Weights weights =
        part_of(file, root, a.command == "extract" ? io::WrapperTraces::removed : io::WrapperTraces::kept);
    require(!weights.names().empty(), a.file, ": no tensors");
    require_in_proportion(file, selected_names(file, root));
    const std::optional<DType> floating = a.dtype == "keep" ? std::nullopt : std::optional(types.at(a.dtype));
    CopyReport report;
    if (torch) {
        if (!file.notes().empty()) {
            std::fputs("note: metadata and settings are not kept in this format\n", stderr);
        }
        io::TorchWriter writer(a.out);
        report = copy_tensors(weights, floating, writer);
    } else {
        io::SafetensorsWriter writer(a.out);
        keep_notes(file, writer);
        report = copy_tensors(weights, floating, writer);
    }
    std::printf("%s%s%s -> %s: %zu tensors, %s\n", a.file.c_str(), root.empty() ? "" : ": ", root.c_str(),
                a.out.c_str(), weights.names().size(), format_bytes(fs::file_size(a.out)).c_str());
    if (!report.widened.empty()) {
        std::fprintf(stderr, "note: %s\n", report.widening().c_str());
    }
    if (report.overflows != 0) {
        std::fprintf(stderr, "warning: %llu values were too large for %s and became infinite\n",
                     static_cast<unsigned long long>(report.overflows), a.dtype.c_str());
    }
}

/// Where the weights to use are, if the user does not say.
std::string usual_root(const Arguments& a) {
    const io::WeightsFile file(a.file);
    for (const std::string_view root : io::Weights::usual_roots) {
        if (root.empty() || !io::Weights(file, root).names().empty()) {
            return std::string(root);
        }
    }
    return "";
}

// ---- diff

int diff(const Arguments& a) {
    const io::WeightsFile first_file(a.file);
    const io::WeightsFile second_file(a.other);
    first_file.require_tensors();
    second_file.require_tensors();
    const bool whole =
        report_unread(first_file, a.root, a.filter) + report_unread(second_file, a.other_root, a.filter) == 0;
    const io::Weights first = part_of(first_file, a.root);
    const io::Weights second = part_of(second_file, a.other_root);
    const std::vector<std::string> selected = selected_names(first_file, a.root);
    require_in_proportion(first_file, selected);
    require_in_proportion(second_file, selected_names(second_file, a.other_root));
    ByteProgress progress("MB compared");
    std::uint64_t done = 0;
    const std::uint64_t total = stored_size(first_file, selected);
    std::uint64_t compared = 0;
    std::uint64_t equal = 0;
    bool same = whole;
    io::Scratch scratch;
    io::Scratch other_scratch;
    std::set<std::string> unreadable;
    for (const auto& [name, reason] : first_file.unread()) {
        unreadable.insert(name);
    }
    for (const std::string& name : first.names()) {
        if (unreadable.contains(first.source(name))) {
            continue;
        }
        const io::TensorInfo info = first.info(name);
        progress(done, total);
        done += info.size;
        if (name.find(a.filter) == name.npos) {
            continue;
        }
        if (!second.contains(name)) {
            same = false;
            progress.say("only in ", a.file, ": ", printable(name));
            continue;
        }
        const io::TensorInfo other = second.info(name);
        if (info.shape != other.shape) {
            same = false;
            progress.say(printable(name), ": shape ", io::shape_text(info.shape), ", other ",
                         io::shape_text(other.shape));
            continue;
        }
        const TensorDifference d = difference_between(first.at(name, scratch), second.at(name, other_scratch));
        first.release(name);
        second.release(name);
        const std::string types = info.type == other.type ? "" : text(" (", info.type, ", other ", other.type, ')');
        const bool close = d.within(a.tolerance);
        ++compared;
        equal += d.differing == 0 ? 1U : 0U;
        same = same && close;
        if (a.all || !close || !types.empty()) {
            progress.say(printable(name), types, ": ",
                         d.differing == 0 ? "equal" : text(d.differing, " elements differ"), ", largest difference ",
                         d.largest, ", relative ", d.relative());
        }
    }
    for (const std::string& name : second.names()) {
        if (name.find(a.filter) != name.npos && !first.contains(name)) {
            same = false;
            progress.say("only in ", a.other, ": ", printable(name));
        }
    }
    progress(total, total);
    progress.say(compared, " tensors compared, ", equal, " equal: ",
                 !same               ? "different"
                 : equal == compared ? "the same"
                                     : "the same within the tolerance");
    return same ? 0 : 1;
}

// ---- verify

/// The checksums of an archive's entries; returns how many are wrong.
std::uint64_t damaged_entries(const io::WeightsFile& weights) {
    if (weights.torch() == nullptr || weights.torch()->is_legacy()) {
        std::printf("no checksums in this format\n");
        return 0;
    }
    const io::MappedFile file(weights.path());
    const io::ZipArchive archive(file.bytes(), file.path().string());
    ByteProgress progress("MB of checksums");
    std::uint64_t done = 0;
    std::uint64_t wrong = 0;
    for (const io::ZipEntry& entry : archive.entries()) {
        progress(done, file.size());
        try {
            archive.verify(entry);
        } catch (const Error& error) {
            ++wrong;
            progress.say(printable(error.what()));
        }
        file.release(archive.compressed(entry));
        done += archive.compressed(entry).size();
    }
    progress(file.size(), file.size());
    std::printf("%zu checksums, %llu wrong\n", archive.entries().size(), static_cast<unsigned long long>(wrong));
    return wrong;
}

int verify(const Arguments& a) {
    const io::WeightsFile file(a.file);
    const std::vector<std::string> names = selected_names(file, a.root, a.filter);
    require_in_proportion(file, names);
    std::printf("%s: %s, all tensors lie inside the file\n", a.file.c_str(), std::string(file.format()).c_str());
    const std::uint64_t wrong = damaged_entries(file);
    ByteProgress progress("MB verified");
    std::uint64_t done = 0;
    const std::uint64_t total = stored_size(file, names);
    io::Scratch scratch;
    std::uint64_t checked = 0;
    std::uint64_t bad = 0;
    for (const std::string& name : names) {
        progress(done, total);
        done += file.info(name).size;
        TensorHealth health;
        try {
            health = health_of(file.at(name, scratch));
        } catch (const Error& error) {  // a type that cannot be loaded
            progress.say("not checked: ", printable(error.what()));
            continue;
        }
        file.release(name);
        ++checked;
        bad += health.sound() ? 0U : 1U;
        if (a.all || !health.sound()) {
            const bool any = health.low <= health.high;
            progress.say(printable(name), ": ", health.nan, " NaN, ", health.infinite, " infinite, ",
                         any ? text("finite ones from ", health.low, " to ", health.high) : "no finite value");
        }
    }
    progress(total, total);
    // `names` lacks PyTorch's unreadable tensors; it has those of safetensors, and they were named above
    const std::uint64_t unlisted = file.torch() == nullptr ? 0 : unlisted_tensors(file, a.root, a.filter);
    const std::uint64_t unknown = names.size() - checked + unlisted;
    std::string verdict = wrong == 0 ? "" : ", damaged";
    verdict += bad == 0 ? "" : ", not all values are finite";
    verdict += unknown == 0 ? "" : text(", INCOMPLETE because ", unknown, " tensors cannot be read here");
    verdict += names.empty() && unlisted == 0 ? ", nothing to check" : "";
    progress.say(checked, " tensors checked, ", bad, " with NaN or infinities, ", unknown,
                 " not checked: ", verdict.empty() ? "nothing wrong found" : verdict.substr(2));
    return verdict.empty() ? 0 : 1;
}

int run(const Arguments& a) {
    const bool writes = a.command == "convert" || a.command == "extract";
    if (writes != !a.out.empty()) {
        throw UsageError(writes ? text(a.command, " needs --out") : text("--out does not belong to ", a.command));
    }
    if ((a.command == "diff") != !a.other.empty()) {
        throw UsageError(a.command == "diff" ? "diff needs two files" : text(a.command, " takes one file"));
    }
    if (a.command == "list") {
        list(a);
    } else if (writes) {
        convert(a, a.command == "extract" && a.root.empty() ? usual_root(a) : a.root);
    } else {
        return a.command == "diff" ? diff(a) : verify(a);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { return run(arguments); });
}
