#pragma once

/// Qwen2 in the files in which it is published.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/checkpoints/load.hpp"
#include "flowfar/checkpoints/qwen2_config.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/sharded_safetensors.hpp"
#include "flowfar/qwen2/model.hpp"

namespace flowfar {

namespace io {

/// The language model's tensors in safetensors files, by their names below "model.", "model.language_model." or
/// whatever root the files have. The output head and the vision model are left out.
class Qwen2Weights {
   public:
    /// `path` is a folder, an index or a file.
    explicit Qwen2Weights(const Path& path) : path_(path) {
        const Path index = "model.safetensors.index.json";
        const bool folder = std::filesystem::is_directory(path);
        const Path file =
            !folder ? path : path / (std::filesystem::exists(path / index) ? index : Path("model.safetensors"));
        std::vector<Path> files;
        if (file.extension() == ".json") {
            const ShardedSafetensors sharded(file);
            for (const auto& [name, shard] : sharded.shards()) {
                files.push_back(shard.path());
            }
        } else {
            files.push_back(file);
        }
        std::vector<std::shared_ptr<const SafetensorsFile>> opened;
        for (const Path& one : files) {
            opened.push_back(std::make_shared<const SafetensorsFile>(MappedFile(one, Access::change_copy)));
        }
        find_root(opened);
        for (const auto& one : opened) {
            add(one);
        }
    }

    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return places_.contains(name); }
    [[nodiscard]] const Path& path() const { return path_; }
    [[nodiscard]] TensorInfo info(const std::string& name) const { return file_of(name)->info(root_ + name); }
    [[nodiscard]] TensorView at(const std::string& name) const { return file_of(name)->at(root_ + name); }
    void release(const std::string& name) const { file_of(name)->release(root_ + name); }
    /// The file that holds a tensor; its bytes are this process's to change.
    [[nodiscard]] const std::shared_ptr<const SafetensorsFile>& file_of(const std::string& name) const {
        const auto found = places_.find(name);
        require(found != places_.end(), path_.string(), ": tensor \"", name, "\": no such tensor");
        return found->second;
    }

   private:
    static constexpr std::string_view last_part = "embed_tokens.weight";

    /// What stands before the embedding's name, which ends a name or is a whole one.
    void find_root(const std::vector<std::shared_ptr<const SafetensorsFile>>& files) {
        std::string embedding;
        for (const auto& file : files) {
            for (const std::string& name : file->names()) {
                if (name != last_part && !name.ends_with("." + std::string(last_part))) {
                    continue;
                }
                require(embedding.empty() || embedding == name, path_.string(),
                        ": expected one language model, found \"", embedding, "\" and \"", name, "\"");
                embedding = name;
            }
        }
        require(!embedding.empty(), path_.string(), ": no language model, expected a tensor ", last_part);
        root_ = embedding.substr(0, embedding.size() - last_part.size());
    }
    void add(const std::shared_ptr<const SafetensorsFile>& file) {
        for (const std::string& name : file->names()) {
            if (!name.starts_with(root_)) {
                continue;
            }
            const std::string own = name.substr(root_.size());
            if (own != "lm_head.weight" && !own.starts_with("visual.")) {
                names_.push_back(own);
                require(places_.emplace(own, file).second, file->path().string(), ": tensor \"", name,
                        "\": another file has it, too");
            }
        }
    }

    Path path_;
    std::string root_;
    std::vector<std::string> names_;
    std::map<std::string, std::shared_ptr<const SafetensorsFile>> places_;
};

}  // namespace io

namespace detail {

/// Opens the files of a Qwen2 and throws `Error` unless they hold the model that `targets` belong to.
template <class Model>
[[nodiscard]] io::Qwen2Weights open_qwen2(const io::Path& path,
                                          const std::vector<ParameterRef<typename Model::Backend>>& targets) {
    using C = typename Model::Config;
    const io::Path config = (std::filesystem::is_directory(path) ? path : path.parent_path()) / "config.json";
    if (std::filesystem::exists(config)) {
        const io::Qwen2Size found = io::read_qwen2_config(config);
        require(found == io::qwen2_size_of<C>(), config.string(), ": this model has ", found, ", but ", C::name,
                " was expected (", io::qwen2_size_of<C>(), "); derive a configuration with these sizes");
    }
    io::Qwen2Weights weights(path);
    io::detail::check_parameters(targets, weights, "");
    return weights;
}

}  // namespace detail

/// Throws `Error` as `load_qwen2` would, without reading weights.
template <class Model>
void check_qwen2(const io::Path& path) {
    const Model model;
    static_cast<void>(detail::open_qwen2<Model>(path, parameters(model)));
}

/// A Qwen2 from a folder as transformers writes it (config.json and safetensors, in one file or several), or from the
/// safetensors alone. Weights that the file has in the model's element type stay in the mapped file, where the backend
/// can read it: a `Qwen2<C, Cpu, bf16>` of the published files takes no memory of its own for them. Others are
/// converted. Throws `Error` if config.json describes another model than C.
///
///     const auto model = load_qwen2<Qwen2<Qwen1B5, Cpu>>("Qwen2-1.5B");
template <class Model>
[[nodiscard]] Model load_qwen2(const io::Path& path) {
    using B = typename Model::Backend;
    Model model;
    const auto targets = parameters(model);
    const io::Qwen2Weights weights = detail::open_qwen2<Model>(path, targets);
    for (const auto& p : targets) {
        const io::TensorView view = weights.at(p.name);
        if constexpr (requires(std::byte* memory) { B::borrow(memory, Extents(), DType::f32, nullptr); }) {
            auto* const memory = const_cast<std::byte*>(view.bytes.data());
            if (view.dtype == p.dtype() && reinterpret_cast<std::uintptr_t>(memory) % size_of(view.dtype) == 0) {
                p.replace(B::borrow(memory, p.extents(), view.dtype, weights.file_of(p.name)));
                continue;
            }
        }
        io::detail::put(p, view);
        weights.release(p.name);
    }
    return model;
}

}  // namespace flowfar
