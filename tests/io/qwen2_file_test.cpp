/// Qwen2 in files as transformers writes them: names below a root, one file or several, bf16 that stays mapped,
/// config.json.

#include <algorithm>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/qwen2.hpp"

#include "io_support.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

struct Small : Qwen1B5 {
    static constexpr std::string_view name = "Small";
    static constexpr Index vocabulary = 16;
    static constexpr Index hidden = 8;
    static constexpr Index layers = 2;
    static constexpr Index heads = 2;
    static constexpr Index key_heads = 1;
    static constexpr Index mlp = 12;
};
using Model = Qwen2<Small, Cpu>;

constexpr std::string_view small_config =
    R"({"model_type":"qwen2","vocab_size":16,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,)"
    R"("num_key_value_heads":1,"intermediate_size":12,"rope_theta":1000000.0,"rms_norm_eps":1e-06,)"
    R"("use_sliding_window":false,"rope_scaling":{"type":"mrope"}})";

/// Writes a model's parameters whose numbers fit `keep`, and an output head, below a root.
template <class Keep>
void write_part(const Model& model, const io::Path& path, const std::string& root, Keep&& keep) {
    io::StateWriter<Cpu> writer;
    int number = 0;
    for (const auto& p : parameters(model)) {
        if (keep(number++)) {
            writer.add(root + p.name, p.value(), DType::bf16);
        }
    }
    if (keep(number)) {
        writer.add("lm_head.weight", Cpu::full({2, 2}, DType::f32, 0.0), DType::bf16);
        writer.add(root + "visual.weight", Cpu::full({2, 2}, DType::f32, 0.0), DType::bf16);
    }
    writer.write(path, {{"format", "pt"}});
}

/// All parameters as the files have them, rounded to bf16.
template <class M>
std::vector<float> values_of(const M& model) {
    std::vector<float> out;
    for (const auto& p : parameters(model)) {
        std::vector<float> part(static_cast<std::size_t>(p.count()));
        Cpu::to_host(Cpu::cast(Cpu::cast(p.value(), DType::bf16), DType::f32), part.data());
        out.insert(out.end(), part.begin(), part.end());
    }
    return out;
}

std::string changed_config(std::string_view from, std::string_view to) {
    std::string out(small_config);
    return out.replace(out.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("one file below a root: widened, or as bf16 in the mapped file") {
    const TempDir folder;
    const Model model = Model::random(3);
    for (const char* root : {"", "model.", "model.language_model.", "language_model.model."}) {
        CAPTURE(root);
        write_part(model, folder.path() / "model.safetensors", root, [](int) { return true; });
        CHECK(values_of(load_qwen2<Model>(folder.path())) == values_of(model));
        CHECK(values_of(load_qwen2<Qwen2<Small, Cpu, bf16>>(folder.path() / "model.safetensors")) == values_of(model));
    }
}

TEST_CASE("several files with an index; one of them missing") {
    const TempDir folder;
    const Model model = Model::random(4);
    std::string index = "{\"weight_map\":{";
    int number = 0;
    for (const auto& p : parameters(model)) {
        index += text("\"model.", p.name, "\":\"part", number++ % 2, ".safetensors\",");
    }
    index.back() = '}';
    for (const int part : {0, 1}) {
        write_part(model, folder.path() / text("part", part, ".safetensors"), "model.",
                   [&](int i) { return i % 2 == part && i < number; });
    }
    put_file(folder.path() / "model.safetensors.index.json", index + "}");
    CHECK(values_of(load_qwen2<Model>(folder.path())) == values_of(model));
    std::filesystem::remove(folder.path() / "part1.safetensors");
    CHECK(contains(error_text([&] { static_cast<void>(load_qwen2<Model>(folder.path())); }), "part1.safetensors: "));
    CHECK(contains(error_text([&] { check_qwen2<Model>(folder.path()); }), "part1.safetensors: "));
    write_part(model, folder.path() / "part1.safetensors", "model.", [&](int i) { return i < number; });
    CHECK(contains(error_text([&] { static_cast<void>(load_qwen2<Model>(folder.path())); }),
                   "part1.safetensors: tensor \"model.embed_tokens.weight\": the index does not expect it here"));
}

TEST_CASE("config.json must describe the model's type") {
    const TempDir folder;
    const Model model = Model::random(5);
    write_part(model, folder.path() / "model.safetensors", "model.", [](int) { return true; });
    const io::Path path = folder.path() / "config.json";
    const auto error = [&](const std::string& config) {
        put_file(path, config);
        std::string out = error_text([&] { static_cast<void>(load_qwen2<Model>(folder.path())); });
        return out.starts_with(path.string()) ? out.substr(path.string().size()) : out;
    };
    CHECK(error(std::string(small_config)) == "no error");
    CHECK(error(text(R"({"model_type":"qwen2_vl","text_config":)", small_config, "}")) == "no error");
    CHECK(error(changed_config("\"rope_theta\":1000000.0", R"("rope_parameters":{"rope_theta":1000000.0})")) ==
          "no error");
    CHECK(error(changed_config("\"hidden_size\":8", "\"hidden_size\":16")) ==
          ": this model has vocabulary 16, width 16, 2 layers, 2 heads of queries, 1 of keys, MLPs of 12, rope base "
          "1e+06, epsilon 1e-06, but Small was expected (vocabulary 16, width 8, 2 layers, 2 heads of queries, 1 of "
          "keys, MLPs of 12, rope base 1e+06, epsilon 1e-06); derive a configuration with these sizes");
    CHECK(error(changed_config("\"use_sliding_window\":false", "\"use_sliding_window\":true")) ==
          ": \"use_sliding_window\": expected false, found true");
    CHECK(error(changed_config("\"use_sliding_window\":false", "\"use_sliding_window\":null")) == "no error");
    const std::string rope = ": \"rope_scaling\": expected the type \"default\" or \"mrope\", found ";
    CHECK(error(changed_config("mrope", "yarn")) == rope + R"({"type":"yarn"})");
    CHECK(error(changed_config(R"({"type":"mrope"})", "\"linear\"")) == rope + "\"linear\"");
    CHECK(error(changed_config(R"("type":"mrope")", "\"factor\":2")) == rope + R"({"factor":2})");
    CHECK(
        error(changed_config(R"({"type":"mrope"})", R"({"type":"yarn"},"rope_parameters":{"rope_theta":1000000.0})")) ==
        rope + R"({"type":"yarn"})");
    CHECK(error(changed_config(R"({"type":"mrope"})",
                               R"(null,"rope_parameters":{"rope_type":"yarn","rope_theta":1000000.0})")) ==
          ": \"rope_parameters\": expected the type \"default\" or \"mrope\", found "
          R"({"rope_theta":1000000.0,"rope_type":"yarn"})");
    for (const char* kind : {"llama", "qwen2_moe", "qwen2_5_vl_text"}) {
        CHECK(error(changed_config("\"qwen2\"", text('"', kind, '"'))) ==
              text(": \"model_type\": expected \"qwen2\" or \"qwen2_vl\", found \"", kind, '"'));
    }
    CHECK(error(changed_config("\"qwen2\"", "\"qwen2_vl_text\"")) == "no error");
    CHECK(error(changed_config("\"qwen2\"", R"("qwen2","hidden_act":"silu")")) == "no error");
    CHECK(error(changed_config("\"qwen2\"", R"("qwen2","hidden_act":"gelu")")) ==
          ": \"hidden_act\": expected \"silu\", found \"gelu\"");
    CHECK(error(changed_config("\"vocab_size\":16", "\"vocab_size\":-1")) ==
          ": \"vocab_size\": expected a number, found -1");
    CHECK(error("[") == ": not a JSON object");
}

TEST_CASE("a file without a language model, one that only seems to have one, and one with two") {
    const TempDir folder;
    const io::Path path = folder.path() / "model.safetensors";
    const auto error = [&](std::initializer_list<const char*> names) {
        io::StateWriter<Cpu> writer;
        for (const char* name : names) {
            writer.add(name, Cpu::full({2}, DType::f32, 0.0));
        }
        writer.write(path, {});
        return error_text([&] { static_cast<void>(load_qwen2<Model>(path)); });
    };
    const std::string none = path.string() + ": no language model, expected a tensor embed_tokens.weight";
    CHECK(error({"other.weight"}) == none);
    CHECK(error({"model.position_embed_tokens.weight"}) == none);
    CHECK(error({"draft.embed_tokens.weight", "model.embed_tokens.weight"}) ==
          path.string() +
              ": expected one language model, found \"draft.embed_tokens.weight\" and \"model.embed_tokens.weight\"");
}
