#pragma once

/// What a network makes of a list of things, such as a language model of captions, kept on disk.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"

namespace flowfar::io {

/// Features [tokens, width] of numbered things, in a folder of safetensors files: features_00000.safetensors and so on,
/// each with `features` [things, tokens, width] of F32 for the next 64, and metadata that say what made them. A folder
/// that is not complete is continued.
class FeatureCache {
   public:
    static constexpr Index file_size = 64;  ///< things in a file: all but the last
    struct Shape {
        Index tokens, width;
        [[nodiscard]] Index values() const { return tokens * width; }
        bool operator==(const Shape&) const = default;
    };
    /// Gives the features [tokens, width] of a thing.
    using Encode = std::function<std::vector<float>(Index)>;
    using Metadata = std::map<std::string, std::string>;

    /// Makes the files that are missing, each atomically. `progress(things done)` is called after every thing and stops
    /// by returning false: then the result is false, and a later call goes on with the file at hand. Throws `Error` for
    /// files there with other metadata or extents.
    static bool write(const Path& folder, Index count, Shape shape, const Encode& encode, const Metadata& metadata,
                      const std::function<bool(Index)>& progress = {}) {
        std::filesystem::create_directories(folder);
        for (Index first = 0; first < count; first += file_size) {  // what is there is checked before work begins
            if (std::filesystem::exists(place(folder, first))) {
                static_cast<void>(open(folder, first, count, shape, metadata));
            }
        }
        for (Index first = 0; first < count; first += file_size) {
            const Path path = place(folder, first);
            if (std::filesystem::exists(path)) {
                continue;
            }
            const Index last = std::min(first + file_size, count);
            SafetensorsWriter writer(path, metadata);
            writer.declare("features", DType::f32, {last - first, shape.tokens, shape.width});
            for (Index i = first; i < last; ++i) {
                const std::vector<float> features = encode(i);
                require(static_cast<Index>(features.size()) == shape.values(), path.string(), ": expected ",
                        shape.values(), " values of thing ", i, ", found ", features.size());
                writer.write_values<float>("features", features);
                if (progress && !progress(i + 1)) {
                    return false;
                }
            }
            writer.finish();
        }
        return true;
    }

    /// Whether the files of `count` things are there.
    [[nodiscard]] static bool complete(const Path& folder, Index count) {
        for (Index first = 0; first < count; first += file_size) {
            if (!std::filesystem::exists(place(folder, first))) {
                return false;
            }
        }
        return true;
    }

    /// Opens the files of `count` things. Throws `Error` unless all are there, with this shape and these metadata.
    FeatureCache(const Path& folder, Index count, Shape shape, const Metadata& metadata)
        : folder_(folder), count_(count), shape_(shape) {
        for (Index first = 0; first < count; first += file_size) {
            files_.push_back(open(folder, first, count, shape, metadata));
        }
    }

    [[nodiscard]] Index size() const { return count_; }
    [[nodiscard]] Shape shape() const { return shape_; }

    /// Features [tokens, width] of a thing, copied to `out`.
    void read(Index thing, float* out) const {
        require(thing >= 0 && thing < count_, folder_.string(), ": expected a number below ", count_, ", found ",
                thing);
        const auto size = static_cast<std::size_t>(shape_.values()) * sizeof(float);
        const TensorView features = files_[static_cast<std::size_t>(thing / file_size)].at("features");
        std::memcpy(out, features.bytes.data() + static_cast<std::size_t>(thing % file_size) * size, size);
    }

   private:
    [[nodiscard]] static Path place(const Path& folder, Index first) {
        const std::string number = std::to_string(first / file_size);
        return folder /
               text("features_", std::string(5 - std::min<std::size_t>(number.size(), 5), '0'), number, ".safetensors");
    }
    [[nodiscard]] static SafetensorsFile open(const Path& folder, Index first, Index count, Shape shape,
                                              const Metadata& metadata) {
        SafetensorsFile file(place(folder, first));
        for (const auto& [key, value] : metadata) {
            const auto found = file.metadata().find(key);
            const std::string before = found == file.metadata().end() ? "nothing known" : found->second;
            require(before == value, file.path().string(), ": made with ", key, " ", before, ", expected ", value,
                    "; remove the folder to make it anew");
        }
        const TensorView features = file.at("features");
        const std::vector<Index> expected = {std::min(file_size, count - first), shape.tokens, shape.width};
        require(features.dtype == DType::f32 && features.shape == expected, file.path().string(),
                ": features: expected ", shape_text(expected), " of F32, found ", shape_text(features.shape), " of ",
                name_of(features.dtype));
        return file;
    }

    Path folder_;
    Index count_;
    Shape shape_;
    std::vector<SafetensorsFile> files_;
};

}  // namespace flowfar::io
