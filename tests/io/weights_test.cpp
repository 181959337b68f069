#include "flowfar/io/tensors/weights.hpp"

#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/nn/linear.hpp"

#include "folders.hpp"
#include "io_support.hpp"
#include "temp_dir.hpp"
#include "zip_builder.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

const fs::path data = flowfar::testing::source_folder() / "tests" / "io" / "data" / "torch";

/// The model of checkpoint.pth.
struct Sequence {
    using Backend = Cpu;
    Linear<Cpu, 3, 4> first;
    Linear<Cpu, 4, 2> second;

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("0", self.first);
        v("1", self.second);
    }
};

/// The model of the other files.
struct Layer {
    using Backend = Cpu;
    Linear<Cpu, 3, 2> linear;

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        Linear<Cpu, 3, 2>::visit(self.linear, v);
    }
};

/// What make_torch_files.py puts into a tensor.
std::vector<float> numbers(Index count, float more = 0.0F) {
    std::vector<float> out;
    for (Index i = 0; i < count; ++i) {
        out.push_back(static_cast<float>((i * 7 + 3) % 113 - 40) + more);
    }
    return out;
}

template <class Model>
std::map<std::string, std::vector<float>> values_of(const Model& model) {
    std::map<std::string, std::vector<float>> out;
    for (const auto& p : parameters(model)) {
        out[p.name].resize(static_cast<std::size_t>(p.count()));
        Cpu::to_host(p.value(), out[p.name].data());
    }
    return out;
}

void write(const fs::path& path, const std::vector<std::pair<std::string, std::vector<Index>>>& tensors) {
    io::SafetensorsWriter writer(path);
    for (const auto& [name, shape] : tensors) {
        writer.declare(name, DType::f32, shape);
    }
    for (const auto& [name, shape] : tensors) {
        writer.write_values<float>(name, numbers(io::element_count(shape, name)));
    }
    writer.finish();
}

void write_torch(const fs::path& path, const std::string& root,
                 const std::vector<std::pair<std::string, std::vector<Index>>>& tensors) {
    io::TorchWriter writer(path, root);
    for (const auto& [name, shape] : tensors) {
        writer.declare(name, DType::f32, shape);
    }
    for (const auto& [name, shape] : tensors) {
        writer.write_values<float>(name, numbers(io::element_count(shape, name)));
    }
    writer.finish();
}

}  // namespace

TEST_CASE("the averaged weights of a training checkpoint are preferred") {
    for (const char* const name : {"checkpoint.pth", "checkpoint_legacy.pth"}) {
        Sequence model;
        io::load_parameters(model, data / name);
        CHECK(values_of(model).at("0.weight") == numbers(12, 1000.0F));
        CHECK(values_of(model).at("1.bias") == numbers(2, 1000.0F));
        io::load_parameters(model, data / name, "model.");
        CHECK(values_of(model).at("0.weight") == numbers(12));
    }
}

TEST_CASE("so are those of a training state") {
    const TempDir folder;
    const fs::path path = folder / "state.safetensors";
    io::SafetensorsWriter writer(path);
    const std::vector<std::pair<std::string, float>> tensors{
        {"ema.bias", 1000.0F}, {"ema.weight", 1000.0F}, {"model.bias", 0.0F}, {"model.weight", 0.0F}};
    const auto shape = [](const std::string& name) {
        return name.ends_with("bias") ? std::vector<Index>{2} : std::vector<Index>{2, 3};
    };
    for (const auto& [name, more] : tensors) {
        writer.declare(name, DType::f32, shape(name));
    }
    for (const auto& [name, more] : tensors) {
        writer.write_values<float>(name, numbers(io::element_count(shape(name), name), more));
    }
    writer.finish();
    Layer model;
    io::load_parameters(model, path);
    CHECK(values_of(model).at("weight") == numbers(6, 1000.0F));
    io::load_parameters(model, path, "model.");
    CHECK(values_of(model).at("weight") == numbers(6));
}

TEST_CASE("bare and wrapped state_dicts") {
    for (const char* const name : {"state_dict.pth", "state_dict_legacy.pth", "protocol5.pth", "wrapped.pth"}) {
        CAPTURE(name);
        Layer model;
        io::load_parameters(model, data / name);
        CHECK(values_of(model).at("weight") == numbers(6));
        CHECK(values_of(model).at("bias") == numbers(2));
    }
}

TEST_CASE("wrappers' traces are removed, and names that become equal are an error") {
    const TempDir folder;
    write(folder / "a.safetensors", {{"module.a._orig_mod.b", {1}}, {"module.my_orig_mod.c", {1}}});
    const io::WeightsFile file(folder / "a.safetensors");
    const io::Weights weights(file, "");
    CHECK(weights.contains("a.b"));
    CHECK(weights.contains("my_orig_mod.c"));
    CHECK(weights.source("a.b") == "module.a._orig_mod.b");
    CHECK(contains(error_text([&] { (void)weights.source("x"); }), "tensor \"x\": no such tensor"));
    write(folder / "b.safetensors", {{"module.a", {1}}, {"b", {1}}});
    CHECK(io::Weights(io::WeightsFile(folder / "b.safetensors"), "").contains("module.a"));  // not in front of all
    write(folder / "c.safetensors", {{"_orig_mod.a", {1}}, {"a", {1}}});
    const io::WeightsFile twice(folder / "c.safetensors");
    CHECK(contains(error_text([&] { io::Weights both(twice, ""); }), "have the same name in the model"));
}

TEST_CASE("wrappers' traces can be kept") {
    const TempDir folder;
    write(folder / "a.safetensors", {{"model.module._orig_mod.a", {1}}, {"model.module.b", {1}}});
    const io::WeightsFile file(folder / "a.safetensors");
    CHECK(io::Weights(file, "model").names() == std::vector<std::string>{"a", "b"});
    CHECK(io::Weights(file, "model", io::WrapperTraces::kept).names() ==
          std::vector<std::string>{"module._orig_mod.a", "module.b"});
}

TEST_CASE("parts of the training loss are left out") {
    const TempDir folder;
    const fs::path path = folder / "kl16.ckpt";
    write_torch(path, "model", {{"weight", {2, 3}}, {"bias", {2}}, {"loss.discriminator.weight", {5}}});
    Layer model;
    io::load_parameters(model, path);
    CHECK(values_of(model).at("weight") == numbers(6));
    // the same converted to the other format
    write(folder / "kl16.safetensors", {{"model.weight", {2, 3}}, {"model.bias", {2}}, {"model.loss.x", {5}}});
    Layer other;
    io::load_parameters(other, folder / "kl16.safetensors");
    CHECK(values_of(other).at("weight") == numbers(6));
}

TEST_CASE("small integers and booleans are widened in every format") {
    const TempDir folder;
    const std::string header = R"({"i":{"dtype":"I32","shape":[2,1],"data_offsets":[0,8]},)"
                               R"("b":{"dtype":"BOOL","shape":[2],"data_offsets":[8,10]},)"
                               R"("c":{"dtype":"I8","shape":[1],"data_offsets":[10,11]}})";
    std::string bytes;
    put_number(bytes, header.size(), 8);
    bytes += header;
    put_number(bytes, 0xFFFFFFFE, 4);
    put_number(bytes, 7, 4);
    bytes += std::string("\x01\x00\xff", 3);
    put_file(folder / "one.safetensors", bytes);
    put_file(folder / "index.json",
             R"({"weight_map": {"i": "one.safetensors", "b": "one.safetensors", "c": "one.safetensors"}})");
    for (const char* const name : {"one.safetensors", "index.json"}) {
        const io::WeightsFile file(folder / name);
        io::Scratch scratch;
        const io::TensorView whole = file.at("i", scratch);
        CHECK(whole.shape == std::vector<Index>{2, 1});
        CHECK(io::values<Index>(whole) == std::vector<Index>{-2, 7});
        CHECK(io::values<std::uint8_t>(file.at("b", scratch)) == std::vector<std::uint8_t>{1, 0});
        CHECK(io::values<Index>(file.at("c", scratch)) == std::vector<Index>{-1});
    }
}

TEST_CASE("paths that cannot be looked at are an Error") {
    const TempDir folder;
    const std::string name(300, 'n');
    CHECK(contains(error_text([&] { io::WeightsFile file(folder / name); }), "cannot open: File name too long"));
    fs::create_symlink(folder / "loop", folder / "loop");
    CHECK(contains(error_text([&] { io::WeightsFile file(folder / "loop"); }), "cannot open: Too many levels"));
}

TEST_CASE("what does not fit is named, with the part of the file") {
    Sequence model;
    io::load_parameters(model, data / "checkpoint.pth");
    const auto before = values_of(model);
    Layer layer;
    CHECK(contains(error_text([&] { io::load_parameters(layer, data / "checkpoint.pth"); }),
                   "checkpoint.pth: the tensors do not fit the model:\n  missing weight [2, 3]"));
    CHECK(contains(error_text([&] { io::load_parameters(layer, data / "module.pth"); }),
                   "module.pth: no tensors in the checkpoint, but object of torch.nn.modules.linear.Linear: save a "
                   "state_dict() instead"));
    const TempDir folder;
    write_torch(folder / "a.pth", "model_ema", {{"0.weight", {4, 4}}, {"0.bias", {4}}, {"other", {1}}});
    const std::string message = error_text([&] { io::load_parameters(model, folder / "a.pth"); });
    CAPTURE(message);
    CHECK(contains(message, "a.pth: \"model_ema\": the tensors do not fit the model:"));
    CHECK(contains(message, "\n  mismatched 0.weight: expected [4, 3] of floats, found [4, 4] of F32"));
    CHECK(contains(message, "\n  missing 1.weight [2, 4]"));
    CHECK(contains(message, "\n  unexpected other"));
    CHECK(values_of(model) == before);
}

TEST_CASE("formats are told apart by their contents") {
    const TempDir folder;
    fs::copy_file(data / "state_dict.pth", folder / "a.safetensors");
    write(folder / "b.pth", {{"weight", {2, 3}}, {"bias", {2}}});
    CHECK(io::WeightsFile(folder / "a.safetensors").format() == "PyTorch");
    CHECK(io::WeightsFile(folder / "b.pth").format() == "safetensors");
    CHECK(io::WeightsFile(data / "views_legacy.pth").format() == "PyTorch (legacy)");
    const io::WeightsFile file(data / "checkpoint.pth");
    CHECK(file.info("model.0.weight").shape == std::vector<Index>{4, 3});
    CHECK(file.info("model.0.weight").type == "F32");
    CHECK(file.info("model.0.weight").size == 48);
    CHECK(file.torch() != nullptr);
    CHECK_FALSE(file.notes().empty());
    put_file(folder / "c", "neither");
    CHECK(contains(error_text([&] { io::WeightsFile weights(folder / "c"); }), "not a safetensors file"));
    put_file(folder / "photos.tar", "photo.png" + std::string(248, '\0') + "ustar" + std::string(512, '\0'));
    CHECK(contains(error_text([&] { io::WeightsFile weights(folder / "photos.tar"); }), "found a tar archive"));
    CHECK(contains(error_text([&] { io::WeightsFile weights(data / "arrays.npz"); }),
                   "not a PyTorch checkpoint: the archive has no data.pkl"));
}

TEST_CASE("several safetensors files with an index") {
    const TempDir folder;
    const auto index = [&](const std::string& map) {
        put_file(folder / "model.safetensors.index.json",
                 R"({"metadata": {"total_size": 32}, "weight_map": )" + map + "}");
        return folder / "model.safetensors.index.json";
    };
    write(folder / "one.safetensors", {{"weight", {2, 3}}});
    write(folder / "two.safetensors", {{"bias", {2}}});
    const fs::path good = index(R"({"weight": "one.safetensors", "bias": "two.safetensors"})");
    for (const fs::path& path : {good, folder.path()}) {
        Layer model;
        io::load_parameters(model, path);
        CHECK(values_of(model).at("weight") == numbers(6));
        CHECK(values_of(model).at("bias") == numbers(2));
    }
    CHECK(io::WeightsFile(good).format() == "sharded safetensors");
    CHECK(io::ShardedSafetensors(good).shards().size() == 2);
    const auto refuses = [&](const std::string& map, const char* part) {
        const std::string message = error_text([&] { io::WeightsFile file(index(map)); });
        CAPTURE(map);
        CAPTURE(message);
        CHECK(contains(message, part));
    };
    for (const char* const name : {"../one.safetensors", "/etc/passwd", "..", ".", "", "a/b", "a\\\\b"}) {
        refuses(text(R"({"weight": ")", name, "\"}"), "is not the name of a file in the same folder");
    }
    refuses(R"({"weight": "one.safetensors\u0000"})", "refused, because");
    refuses(R"({"weight": 7})", "expected the name of a file");
    refuses("7", "no \"weight_map\"");
    refuses(R"({"weight": "three.safetensors"})", "cannot open");
    refuses(R"({"other": "one.safetensors"})", "no tensor \"other\", which the index expects here");
    refuses(R"({"weight": "one.safetensors", "bias": "one.safetensors"})", "no tensor \"bias\"");
    write(folder / "two.safetensors", {{"bias", {2}}, {"weight", {2, 3}}});
    refuses(R"({"weight": "one.safetensors", "bias": "two.safetensors"})",
            "two.safetensors: tensor \"weight\": the index does not expect it here");
    refuses("{", "not a JSON object");
    refuses(std::string(50, '[') + std::string(50, ']'), "nested too deeply");
}

TEST_CASE("folders under the names of diffusers and transformers, and indices of PyTorch files") {
    const TempDir folder;
    const auto loads = [](const fs::path& path) {
        Layer model;
        io::load_parameters(model, path);
        return values_of(model).at("weight") == numbers(6);
    };
    for (const char* const name : {"model", "diffusion_pytorch_model"}) {
        const fs::path single = folder / text("single_", name);
        fs::create_directory(single);
        put_file(single / "config.json", "{}");
        write(single / text(name, ".safetensors"), {{"weight", {2, 3}}, {"bias", {2}}});
        CHECK(loads(single));
        const fs::path parts = folder / text("parts_", name);
        fs::create_directory(parts);
        const std::string part = text(name, "-00001-of-00001.safetensors");
        write(parts / part, {{"weight", {2, 3}}, {"bias", {2}}});
        put_file(parts / text(name, ".safetensors.index.json"),
                 text(R"({"weight_map": {"weight": ")", part, R"(", "bias": ")", part, "\"}}"));
        CHECK(loads(parts));
    }
    const fs::path old = folder / "old";
    fs::create_directory(old);
    put_file(old / "pytorch_model.bin.index.json", R"({"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}})");
    for (const fs::path& path : {old, old / "pytorch_model.bin.index.json"}) {
        const std::string message = error_text([&] { io::WeightsFile file(path); });
        CHECK_MESSAGE(contains(message, "an index of PyTorch files such as pytorch_model-00001-of-00002.bin"), message);
    }
    fs::create_directory(folder / "none");
    CHECK(contains(error_text([&] { io::WeightsFile file(folder / "none"); }), "none"));
}

TEST_CASE("weights below a root of another name") {
    const TempDir folder;
    const auto found = [&](const std::vector<std::string>& roots) {
        std::vector<std::pair<std::string, std::vector<Index>>> tensors;
        for (const std::string& root : roots) {
            tensors.push_back({root + "in.weight", {2, 3}});
            tensors.push_back({root + "scale", {2}});
        }
        write(folder / "a.safetensors", tensors);
        const io::WeightsFile file(folder / "a.safetensors");
        return io::Weights::find(file, {"scale", "in.weight"}).root();
    };
    CHECK(found({"state_dict.model."}) == "state_dict.model");
    CHECK(found({"ema_model."}) == "ema_model");
    CHECK(found({"net.", "net_ema."}) == "net_ema");
    CHECK(found({"one.", "other."}).empty());
    CHECK(found({"model.", "net_ema."}) == "model");  // the usual ones come first
}

TEST_CASE("tensors that are there but cannot be read are not called missing") {
    Layer model;
    const auto message = [&](const fs::path& path) { return error_text([&] { io::load_parameters(model, path); }); };
    const std::string sparse = message(data / "sparse_weight.pth");
    CHECK_MESSAGE(contains(sparse, "unreadable weight [2, 3]: a sparse tensor"), sparse);
    CHECK_FALSE(contains(sparse, "missing weight"));
    // The averaged weights are the ones to use, even though the plain ones could be read.
    const std::string averaged = message(data / "sparse_average.pth");
    CHECK_MESSAGE(contains(averaged, "\"model_ema\": the tensors do not fit the model"), averaged);
    CHECK_MESSAGE(contains(averaged, "unreadable bias [2]"), averaged);
}

TEST_CASE("models are written for PyTorch and come back; the callback sees all bytes") {
    const TempDir folder;
    Sequence model;
    io::load_parameters(model, data / "checkpoint.pth");
    io::save_torch_parameters(model, folder / "a.pth", DType::f32, "model_state_dict");
    io::save_torch_parameters(model, folder / "b.pth", DType::bf16);
    for (const char* const name : {"a.pth", "b.pth"}) {
        Sequence again;
        std::uint64_t last = 0;
        io::load_parameters(again, folder / name, "", [&](std::uint64_t done, std::uint64_t total) {
            CHECK(done > last);
            CHECK(total == 4 * (12 + 4 + 8 + 2));
            last = done;
        });
        CHECK(last == 4 * (12 + 4 + 8 + 2));
        auto expected = values_of(model);
        for (auto& [key, values] : expected) {
            for (float& value : values) {
                value = std::string(name) == "a.pth" ? value : static_cast<float>(bf16(value));
            }
        }
        CHECK(values_of(again) == expected);
    }
    CHECK(io::TorchCheckpoint(folder / "a.pth").contains("model_state_dict.0.weight"));
    CHECK(io::TorchCheckpoint(folder / "b.pth").names().front() == "0.weight");
}

TEST_CASE("released tensors can still be read") {
    const TempDir folder;
    write(folder / "a.safetensors", {{"a", {100000}}, {"b", {100000}}});
    write_torch(folder / "a.pth", "", {{"a", {100000}}, {"b", {100000}}});
    for (const char* const name : {"a.safetensors", "a.pth"}) {
        const io::WeightsFile file(folder / name);
        io::Scratch scratch;
        const io::TensorView view = file.at("a", scratch);
        const std::vector<float> before = io::values<float>(view);
        file.release("a");
        file.release("b");
        CHECK(io::values<float>(view) == before);
        CHECK(before == numbers(100000));
    }
    const io::MappedFile raw(folder / "a.pth");
    Bytes copy(raw.bytes().begin(), raw.bytes().end());
    const io::TorchCheckpoint memory(io::MappedFile::of_memory("memory", copy));
    memory.release("a");  // memory that is no mapping is left alone
    io::Scratch scratch;
    CHECK(io::values<float>(memory.at("a", scratch)) == numbers(100000));
}
