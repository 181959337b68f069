#include <array>
#include <doctest/doctest.h>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/far.hpp"
#include "flowfar/checkpoints/flowmo.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"

#include "folders.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// A checkpoint with just the tensors that show a configuration's size, as bytes to keep it small.
template <class Declare>
void write(const io::Path& path, const std::string& root, Declare&& declare) {
    struct Tensor {
        std::string name;
        std::vector<Index> shape;
    };
    std::vector<Tensor> tensors;
    declare([&](const std::string& name, std::vector<Index> shape) { tensors.push_back({name, std::move(shape)}); });
    io::TorchWriter writer(path, root);
    for (const Tensor& t : tensors) {
        writer.declare(t.name, DType::u8, t.shape);
    }
    for (const Tensor& t : tensors) {
        writer.write(t.name, std::vector<std::byte>(static_cast<std::size_t>(io::element_count(t.shape, t.name))));
    }
    writer.finish();
}

template <class C>
void write_far(const io::Path& path) {
    write(path, "model_ema", [](auto&& tensor) {
        constexpr io::FarSize size = io::far_size_of<C>();
        tensor("class_emb.weight", {size.classes, size.hidden});
        tensor("z_proj.weight", {size.hidden, size.token_dim});
        tensor("diffusion_pos_embed_learned", {1, size.tokens, size.hidden});
        tensor("encoder_pos_embed_learned", {1, size.buffer + size.tokens, size.hidden});
        for (Index i = 0; i < size.encoder_depth; ++i) {
            tensor(text("encoder_blocks.", i, ".norm1.weight"), {size.hidden});
            tensor(text("encoder_blocks.", i, ".norm1.bias"), {size.hidden});
        }
        for (Index i = 0; i < size.decoder_depth; ++i) {
            tensor(text("decoder_blocks.", i, ".norm1.weight"), {size.hidden});
        }
        tensor("decoder_embed.weight", {size.decoder_hidden, size.hidden});
        tensor("encoder_blocks.0.mlp.fc1.weight", {size.encoder_mlp, size.hidden});
        tensor("decoder_blocks.0.mlp.fc1.weight", {size.decoder_mlp, size.decoder_hidden});
        tensor("diffloss.net.input_proj.weight", {size.head_width, size.token_dim});
        tensor("diffloss.net.index_cond_embed.weight", {size.head_width, 1});
        for (Index i = 0; i < size.head_depth; ++i) {
            tensor(text("diffloss.net.res_blocks.", i, ".in_ln.weight"), {size.head_width});
        }
    });
}

template <class C>
void write_flowmo(const io::Path& path) {
    write(path, "model_ema_state_dict", [](auto&& tensor) {
        constexpr io::FlowMoSize size = io::flowmo_size_of<C>();
        tensor("encoder.img_in.weight", {size.encoder_hidden, size.patch_dim});
        tensor("encoder.txt_in.weight", {size.encoder_hidden, size.code_width});
        tensor("decoder.img_in.weight", {size.decoder_hidden, size.patch_dim});
        tensor("encoder.double_blocks.0.img_mlp.0.weight", {size.encoder_mlp, size.encoder_hidden});
        tensor("decoder.double_blocks.0.img_mlp.0.weight", {size.decoder_mlp, size.decoder_hidden});
        for (Index i = 0; i < size.encoder_depth; ++i) {
            tensor(text("encoder.double_blocks.", i, ".img_mod.lin.bias"), {1});
        }
        for (Index i = 0; i < size.decoder_depth; ++i) {
            tensor(text("decoder.double_blocks.", i, ".img_mod.lin.bias"), {1});
        }
    });
}

/// The message of the Error that `check` throws for the weights below `root`, or "no error".
template <class Check>
std::string error_of(const io::Path& path, const char* root, Check&& check) {
    const io::WeightsFile file(path);
    try {
        check(io::Weights(file, root));
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

template <class Expected>
std::string far_error(const io::Path& path) {
    return error_of(path, "model_ema", [](const io::Weights& weights) { io::check_far_weights<Expected>(weights); });
}

template <class Expected>
std::string flowmo_error(const io::Path& path) {
    return error_of(path, "model_ema_state_dict",
                    [](const io::Weights& weights) { io::check_flowmo_weights<Expected>(weights); });
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
}

struct Unusual : FarB {
    static constexpr std::string_view name = "Unusual";
    static constexpr Index head_depth = 4;
};

/// A narrow decoder, as masked autoencoders have it.
struct Narrow : FarB {
    static constexpr std::string_view name = "Narrow";
    static constexpr Index decoder_hidden = 512;
    static constexpr Index decoder_heads = 8;
    static constexpr double mlp_ratio = 2.0;
};

struct FewMlps : FlowMoLo {
    static constexpr std::string_view name = "FewMlps";
    static constexpr MmditConfig encoder{768, 12, 8, {8, 28, 28}, 2.0};
};

}  // namespace

TEST_CASE("a FAR checkpoint of another size names the preset to use") {
    const TempDir folder;
    const auto path = folder / "far.pth";
    write_far<FarB>(path);
    CHECK(far_error<FarB>(path) == "no error");
    CHECK(contains(far_error<FarH>(path), "use the preset FarB"));
    write_far<FarL>(path);
    const std::string message = far_error<FarL1024>(path);
    CAPTURE(message);
    CHECK(contains(message,
                   "far.pth: \"model_ema\": this model is FarL (width 1024, 16 + 16 blocks, diffusion MLP of 3 "
                   "blocks of width 1536"));
    CHECK(contains(message, "but FarL1024 was expected"));
    CHECK(contains(message, "use the preset FarL"));
    write_far<FarL1024>(path);
    CHECK(contains(far_error<FarL>(path), "use the preset FarL1024"));
    write_far<FarH>(path);
    CHECK(contains(far_error<FarB>(path), "use the preset FarH"));
    write_far<Unusual>(path);
    CHECK(contains(far_error<FarB>(path), "this model is no preset (width 768"));
    CHECK(contains(far_error<FarB>(path), "derive a configuration with these sizes"));
    CHECK(far_error<Unusual>(path) == "no error");
    write_far<Narrow>(path);
    CHECK(far_error<Narrow>(path) == "no error");
    CHECK(contains(far_error<FarB>(path), "this model is no preset (width 768 (MLPs 1536) + 512 (MLPs 1024), 12 + 12"));
    CHECK(flowmo_error<FlowMoLo>(path) == path.string() + ": this is a FAR file, FlowMo expected");
}

TEST_CASE("a checkpoint that says how it was trained is checked for masking") {
    // checkpoint.pth's arguments say mask=True; it is no FAR model, so only the note is read.
    const io::WeightsFile file(flowfar::testing::source_folder() / "tests/io/data/torch/checkpoint.pth");
    CHECK(io::far_masked(file) == true);
    const TempDir folder;
    write_far<FarB>(folder / "far.pth");
    CHECK_FALSE(io::far_masked(io::WeightsFile(folder / "far.pth")).has_value());
    CHECK(far_error<Masked<FarB>>(folder / "far.pth") == "no error");
}

TEST_CASE("a FAR model that was trained otherwise names the preset to use") {
    const TempDir folder;
    const auto path = folder / "far.safetensors";
    const auto said = [&](const char* key, const char* value) {
        write_far<FarB>(folder / "far.pth");
        const io::WeightsFile source(folder / "far.pth");
        io::SafetensorsWriter writer(path, {{key, value}});
        io::Scratch scratch;
        for (const std::string& name : source.names()) {
            writer.declare(name, DType::u8, source.info(name).shape);
        }
        for (const std::string& name : source.names()) {
            writer.write(name, source.at(name, scratch).bytes);
        }
        writer.finish();
    };
    const std::string where = path.string() + ": \"model_ema\": this model was trained with";
    for (const auto& [key, yes, no] : {std::array{"args.mask", "True", "False"}, std::array{"masked", "1", "0"}}) {
        said(key, yes);
        CHECK(far_error<FarB>(path) == where + " hidden tokens; use the preset Masked<FarB>");
        CHECK(far_error<Masked<FarB>>(path) == "no error");
        said(key, no);
        CHECK(far_error<Masked<FarB>>(path) == where + "out hidden tokens; use the preset FarB");
        CHECK(far_error<FarB>(path) == "no error");
        said(key, "perhaps");
        CHECK(far_error<FarB>(path) == "no error");
    }
}

TEST_CASE("a FlowMo checkpoint of another size names the preset to use") {
    const TempDir folder;
    const auto path = folder / "flowmo.pth";
    write_flowmo<FlowMoLo>(path);
    CHECK(flowmo_error<FlowMoLo>(path) == "no error");
    CHECK(contains(flowmo_error<FlowMoHi>(path),
                   "this model is FlowMoLo (patches of 48 values, code tokens of 18 values"));
    write_flowmo<FlowMoHi>(path);
    CHECK(contains(flowmo_error<FlowMoLo>(path), "use the preset FlowMoHi"));
    write_flowmo<FlowMoSmall>(path);
    CHECK(contains(flowmo_error<FlowMoLo>(path), "use the preset FlowMoSmall"));
    write_flowmo<FewMlps>(path);
    CHECK(flowmo_error<FewMlps>(path) == "no error");
    CHECK(contains(flowmo_error<FlowMoLo>(path), "encoder of 8 blocks of width 768 (MLPs 1536)"));
    CHECK(far_error<FarB>(path) == path.string() + ": this is a FlowMo file, FAR expected");
}
