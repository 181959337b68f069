#pragma once

/// Reads models that are spread over several safetensors files, with a JSON index of which tensor lies where.

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/file.hpp"
#include "flowfar/io/safetensors.hpp"
#include "flowfar/io/tensor_view.hpp"

namespace flowfar::io {

/// A model's index, "model.safetensors.index.json", and the files it names. They must lie in the index's own folder:
/// names that lead elsewhere are refused. Opening maps and checks all files, and that index and files list the same
/// tensors.
class ShardedSafetensors {
   public:
    /// Throws `Error` if the index or one of its files cannot be read or is damaged.
    explicit ShardedSafetensors(const Path& index) : path_(index) {
        const nlohmann::json table = read_index();
        const auto map = table.find("weight_map");
        require(map != table.end() && map->is_object(), index.string(), ": no \"weight_map\" in the index");
        for (const auto& [name, value] : map->items()) {
            require(value.is_string(), index.string(), ": tensor \"", name, "\": expected the name of a file");
            const auto file = value.get<std::string>();
            require(is_plain_name(file), index.string(), ": tensor \"", name, "\": refused, because \"", file,
                    "\" is not the name of a file in the same folder");
            require(shards_.size() < shard_limit || shards_.contains(file), index.string(), ": more than ", shard_limit,
                    " files");
            const auto [shard, inserted] = shards_.try_emplace(file, index.parent_path() / file);
            require(shard->second.contains(name), shard->second.path().string(), ": no tensor \"", name,
                    "\", which the index expects here");
            places_.emplace(name, &shard->second);
        }
        for (const auto& [file, shard] : shards_) {
            for (const std::string& name : shard.names()) {
                const auto place = places_.find(name);
                require(place != places_.end() && place->second == &shard, shard.path().string(), ": tensor \"", name,
                        "\": the index does not expect it here");
                names_.push_back(name);
            }
        }
    }
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
    static constexpr std::size_t index_limit = 100'000'000;  // bytes
    static constexpr std::size_t shard_limit = 10'000;

    [[nodiscard]] nlohmann::json read_index() const {
        const MappedFile file(path_);
        require(file.size() <= index_limit, path_.string(), ": an index of ", file.size(), " bytes, expected at most ",
                index_limit);
        const auto* begin = reinterpret_cast<const char*>(file.bytes().data());
        const auto shallow = [this](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
            require(depth <= 8, path_.string(), ": the index is nested too deeply");
            return true;
        };
        nlohmann::json out = nlohmann::json::parse(begin, begin + file.size(), shallow, false);
        require(out.is_object(), path_.string(), ": the index is not a JSON object");
        return out;
    }

    [[nodiscard]] static bool is_plain_name(std::string_view file) {
        return !file.empty() && file.size() <= 255 && file != "." && file != ".." &&
               file.find_first_of(std::string_view("/\\\0", 3)) == file.npos;
    }

    [[nodiscard]] const SafetensorsFile& shard_of(const std::string& name) const {
        const auto found = places_.find(name);
        require(found != places_.end(), path_.string(), ": tensor \"", name, "\": no such tensor");
        return *found->second;
    }

    Path path_;
    std::map<std::string, SafetensorsFile> shards_;
    std::map<std::string, const SafetensorsFile*> places_;
    std::vector<std::string> names_;
};

}  // namespace flowfar::io
