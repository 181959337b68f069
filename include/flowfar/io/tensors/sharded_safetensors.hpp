#pragma once

/// Reads models that are spread over several safetensors files, with a JSON index of which tensor lies where.

#include <map>
#include <string>
#include <vector>

#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::io {

/// A model's index, "model.safetensors.index.json", and the files it names. They must lie in the index's own folder:
/// names that lead elsewhere are refused. Opening maps and checks all files, and that index and files list the same
/// tensors.
///
///     const io::ShardedSafetensors model("model.safetensors.index.json");
///     for (const std::string& name : model.names()) { … }
class ShardedSafetensors {
   public:
    /// Throws `Error` if the index or one of its files cannot be read or is damaged.
    explicit ShardedSafetensors(const Path& index);
    ShardedSafetensors(ShardedSafetensors&&) = default;  // the nodes of `shards_`, and so the places, stay
    ShardedSafetensors& operator=(ShardedSafetensors&&) = default;

    /// All tensor names, file by file.
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return places_.contains(name); }
    [[nodiscard]] const Path& path() const { return path_; }
    /// The files by their names.
    [[nodiscard]] const std::map<std::string, SafetensorsFile>& shards() const { return shards_; }
    /// As `SafetensorsFile`'s.
    [[nodiscard]] TensorInfo info(const std::string& name) const { return shard_of(name).info(name); }
    [[nodiscard]] TensorView at(const std::string& name) const { return shard_of(name).at(name); }
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch) const {
        return shard_of(name).at(name, scratch);
    }
    void release(const std::string& name) const { shard_of(name).release(name); }

   private:
    [[nodiscard]] const SafetensorsFile& shard_of(const std::string& name) const;

    Path path_;
    std::map<std::string, SafetensorsFile> shards_;
    std::map<std::string, const SafetensorsFile*> places_;
    std::vector<std::string> names_;
};

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/tensors/sharded_safetensors.ipp"
#endif
