// Looks into files of weights, compares and converts them; see --help.

#include <algorithm>
#include <concepts>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "flowfar/io/safetensors_writer.hpp"
#include "flowfar/io/torch_writer.hpp"
#include "flowfar/io/weights.hpp"
#include "flowfar/io/zip_archive.hpp"

#include "support/cli.hpp"
#include "support/tensor_listing.hpp"
#include "support/tensor_statistics.hpp"

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
    spec.positional("COMMAND", a.command,
                    "list: names, shapes, types, sizes; convert: to another format or type; extract: one part, by its "
                    "own names; diff: compare with OTHER (exit code 1 if they differ); verify: checksums, NaN and "
                    "infinities (exit code 1 if there are any)")
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

/// The tensors to work on, by the names to show.
io::Weights part_of(const io::WeightsFile& file, const std::string& root) {
    io::Weights weights(file, root);
    if (!root.empty() && weights.names().empty()) {
        std::set<std::string> roots;
        for (const std::string& name : file.names()) {
            roots.insert(name.substr(0, name.find('.')));
        }
        std::string known;
        for (const std::string& name : roots) {
            known += known.size() > 400 ? "" : (known.empty() ? "" : ", ") + name;
        }
        fail(file.path().string(), ": no tensors below \"", root, "\"; names begin with ", known);
    }
    return weights;
}

/// The names in the file of the tensors to show.
std::vector<std::string> selected_names(const Arguments& a, const io::WeightsFile& file) {
    const std::string prefix = a.root.empty() ? "" : a.root + '.';
    std::vector<std::string> names;
    for (const std::string& name : file.names()) {
        if (name.starts_with(prefix) && name.find(a.filter) != name.npos) {
            names.push_back(name);
        }
    }
    return names;
}

// ---- list

void list(const Arguments& a) {
    const io::WeightsFile file(a.file);
    const std::vector<std::string> names = selected_names(a, file);
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
        std::fputs(printable(tree.shown()).c_str(), stdout);
    } else {
        for (const std::string& name : names) {
            const io::TensorInfo info = file.info(name);
            std::printf("%s %s %s %s\n", printable(name).c_str(), io::shape_text(info.shape).c_str(),
                        std::string(info.type).c_str(), format_bytes(info.size).c_str());
        }
    }
    if (a.notes) {
        for (const auto& [name, value] : file.notes()) {
            std::printf("note %s = %s\n", printable(name).c_str(), printable(value).c_str());
        }
    }
}

// ---- convert, extract

/// The type in the new file.
DType new_type(const Arguments& a, DType stored) {
    static const std::map<std::string, DType> types{{"f32", DType::f32}, {"bf16", DType::bf16}, {"f16", DType::f16}};
    return a.dtype == "keep" || !is_floating(stored) ? stored : types.at(a.dtype);
}

/// The element type of a tensor once it is loaded, without loading it where the file says so.
DType loaded_type(const io::Weights& weights, const std::string& name, io::Scratch& scratch) {
    const std::string_view stored = weights.info(name).type;
    for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i64, DType::u8}) {
        if (stored == name_of(type)) {
            return type;
        }
    }
    return weights.at(name, scratch).dtype;  // small integers and booleans, which are widened; or an error
}

/// Copies the tensors to `writer`, one after another; returns how many values became infinite.
template <class Writer>
std::uint64_t copy_tensors(const Arguments& a, const io::Weights& weights, Writer& writer) {
    io::Scratch scratch;
    for (const std::string& name : weights.names()) {
        writer.declare(name, new_type(a, loaded_type(weights, name, scratch)), weights.info(name).shape);
    }
    std::uint64_t overflows = 0;
    for (const std::string& name : weights.names()) {
        const io::TensorView view = weights.at(name, scratch);
        const DType type = new_type(a, view.dtype);
        if (type == view.dtype) {
            writer.write(name, view.bytes);
        } else if constexpr (std::same_as<Writer, io::SafetensorsWriter>) {
            overflows += convert_pieces(view, type, [&](auto bytes) { writer.write(name, bytes); });
        } else {  // this format needs a tensor's checksum before its bytes
            std::vector<std::byte> whole;
            whole.reserve(view.bytes.size() / size_of(view.dtype) * size_of(type));
            overflows +=
                convert_pieces(view, type, [&](auto bytes) { whole.insert(whole.end(), bytes.begin(), bytes.end()); });
            writer.write(name, whole);
        }
        weights.release(name);
    }
    writer.finish();
    return overflows;
}

void convert(const Arguments& a, const std::string& root) {
    const std::string extension = fs::path(a.out).extension().string();
    const bool torch = extension == ".pth" || extension == ".pt" || extension == ".ckpt";
    if (!torch && extension != ".safetensors") {
        throw UsageError(text("--out: \"", a.out, "\": expected a name that ends in .safetensors, .pth, .pt or .ckpt"));
    }
    const io::WeightsFile file(a.file);
    const io::Weights weights = part_of(file, root);
    require(!weights.names().empty(), a.file, ": no tensors");
    std::uint64_t overflows = 0;
    if (torch) {
        io::TorchWriter writer(a.out);
        overflows = copy_tensors(a, weights, writer);
    } else {
        std::map<std::string, std::string> metadata;
        if (file.torch() == nullptr) {
            const auto notes = file.notes();
            metadata.insert(notes.begin(), notes.end());
        }
        io::SafetensorsWriter writer(a.out, metadata);
        overflows = copy_tensors(a, weights, writer);
    }
    std::printf("%s%s%s -> %s: %zu tensors, %s\n", a.file.c_str(), root.empty() ? "" : ": ", root.c_str(),
                a.out.c_str(), weights.names().size(), format_bytes(fs::file_size(a.out)).c_str());
    if (overflows != 0) {
        std::fprintf(stderr, "warning: %llu values were too large for %s and became infinite\n",
                     static_cast<unsigned long long>(overflows), a.dtype.c_str());
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
    const io::Weights first = part_of(first_file, a.root);
    const io::Weights second = part_of(second_file, a.other_root);
    std::uint64_t compared = 0;
    std::uint64_t equal = 0;
    bool same = true;
    io::Scratch scratch;
    io::Scratch other_scratch;
    for (const std::string& name : first.names()) {
        if (name.find(a.filter) == name.npos) {
            continue;
        }
        if (!second.contains(name)) {
            same = false;
            std::printf("only in %s: %s\n", a.file.c_str(), printable(name).c_str());
            continue;
        }
        const io::TensorInfo info = first.info(name);
        const io::TensorInfo other = second.info(name);
        if (info.shape != other.shape) {
            same = false;
            std::printf("%s: shape %s, other %s\n", printable(name).c_str(), io::shape_text(info.shape).c_str(),
                        io::shape_text(other.shape).c_str());
            continue;
        }
        const TensorDifference d = difference_between(first.at(name, scratch), second.at(name, other_scratch));
        first.release(name);
        second.release(name);
        const bool close = d.relative() <= a.tolerance;
        const std::string types = info.type == other.type ? "" : text(" (", info.type, ", other ", other.type, ")");
        ++compared;
        equal += d.differing == 0 ? 1U : 0U;
        same = same && close;
        if (a.all || !close || !types.empty()) {
            std::printf("%s%s: %s, largest difference %.6g, relative %.6g\n", printable(name).c_str(), types.c_str(),
                        d.differing == 0 ? "equal" : text(d.differing, " elements differ").c_str(), d.largest,
                        d.relative());
        }
    }
    for (const std::string& name : second.names()) {
        if (name.find(a.filter) != name.npos && !first.contains(name)) {
            same = false;
            std::printf("only in %s: %s\n", a.other.c_str(), printable(name).c_str());
        }
    }
    std::printf("%llu tensors compared, %llu equal: %s\n", static_cast<unsigned long long>(compared),
                static_cast<unsigned long long>(equal),
                same ? (equal == compared ? "the same" : "the same within the tolerance") : "different");
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
    std::uint64_t wrong = 0;
    for (const io::ZipEntry& entry : archive.entries()) {
        try {
            archive.verify(entry);
        } catch (const Error& error) {
            ++wrong;
            std::printf("%s\n", printable(error.what()).c_str());
        }
        file.release(archive.compressed(entry));
    }
    std::printf("%zu checksums, %llu wrong\n", archive.entries().size(), static_cast<unsigned long long>(wrong));
    return wrong;
}

int verify(const Arguments& a) {
    const io::WeightsFile file(a.file);
    std::printf("%s: %s, structure sound\n", a.file.c_str(), std::string(file.format()).c_str());
    const bool sound = damaged_entries(file) == 0;
    io::Scratch scratch;
    std::uint64_t checked = 0;
    std::uint64_t bad = 0;
    std::uint64_t unknown = 0;
    for (const std::string& name : selected_names(a, file)) {
        TensorHealth health;
        try {
            health = health_of(file.at(name, scratch));
        } catch (const Error& error) {  // a type that cannot be loaded
            ++unknown;
            std::printf("not checked: %s\n", printable(error.what()).c_str());
            continue;
        }
        file.release(name);
        ++checked;
        bad += health.sound() ? 0U : 1U;
        if (a.all || !health.sound()) {
            std::printf("%s: %llu NaN, %llu infinite, finite ones from %.6g to %.6g\n", printable(name).c_str(),
                        static_cast<unsigned long long>(health.nan), static_cast<unsigned long long>(health.infinite),
                        health.low, health.high);
        }
    }
    std::printf("%llu tensors checked, %llu with NaN or infinities, %llu not checked\n",
                static_cast<unsigned long long>(checked), static_cast<unsigned long long>(bad),
                static_cast<unsigned long long>(unknown));
    return sound && bad == 0 ? 0 : 1;
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
