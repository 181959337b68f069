#pragma once

/// The definitions of sharded_safetensors.hpp.

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/sharded_safetensors.hpp"

namespace flowfar::io {

namespace detail {

inline constexpr std::size_t shard_limit = 10'000;
inline constexpr std::size_t shard_index_limit = 100'000'000;  // bytes

inline nlohmann::json read_shard_index(const Path& path) {
    const MappedFile file(path);
    require(file.size() <= shard_index_limit, path.string(), ": an index of ", file.size(), " bytes, expected at most ",
            shard_index_limit);
    const auto* begin = reinterpret_cast<const char*>(file.bytes().data());
    const auto shallow = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
        require(depth <= 8, path.string(), ": the index is nested too deeply");
        return true;
    };
    nlohmann::json out = nlohmann::json::parse(begin, begin + file.size(), shallow, false);
    require(out.is_object(), path.string(), ": the index is not a JSON object");
    return out;
}

inline bool is_plain_name(std::string_view file) {
    return !file.empty() && file.size() <= 255 && file != "." && file != ".." &&
           file.find_first_of(std::string_view("/\\\0", 3)) == file.npos;
}

}  // namespace detail

FLOWFAR_INLINE ShardedSafetensors::ShardedSafetensors(const Path& index) : path_(index) {
    const nlohmann::json table = detail::read_shard_index(index);
    const auto map = table.find("weight_map");
    require(map != table.end() && map->is_object(), index.string(), ": no \"weight_map\" in the index");
    for (const auto& [name, value] : map->items()) {
        require(value.is_string(), index.string(), ": tensor \"", name, "\": expected the name of a file");
        const auto file = value.get<std::string>();
        require(detail::is_plain_name(file), index.string(), ": tensor \"", name, "\": refused, because \"", file,
                "\" is not the name of a file in the same folder");
        require(!file.ends_with(".bin") && !file.ends_with(".pt") && !file.ends_with(".pth"), index.string(),
                ": an index of PyTorch files such as ", file,
                ", which are not read together: save the model as safetensors, or give one of the files");
        require(shards_.size() < detail::shard_limit || shards_.contains(file), index.string(), ": more than ",
                detail::shard_limit, " files");
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

FLOWFAR_INLINE const SafetensorsFile& ShardedSafetensors::shard_of(const std::string& name) const {
    const auto found = places_.find(name);
    require(found != places_.end(), path_.string(), ": tensor \"", name, "\": no such tensor");
    return *found->second;
}

}  // namespace flowfar::io
