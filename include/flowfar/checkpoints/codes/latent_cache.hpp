#pragma once

/// What an autoencoder makes of a dataset, kept on disk, so that training need not encode every photo in every epoch.

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/io/data/loader.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"

namespace flowfar::io {

/// The statistics of every image of a dataset, as it is and mirrored. A safetensors file with `statistics`
/// [2, images, channels, height, width] of F32 (first as they are, then mirrored), `labels` [images] of I64, and
/// metadata that say what made them.
class LatentCache {
   public:
    /// Turns planes [batch, 3, height, width] in [−1, 1] into statistics [batch, channels, height, width] of another
    /// size.
    using Encode = std::function<std::vector<float>(const std::vector<float>&)>;
    struct Shape {
        Index channels, height, width;
        [[nodiscard]] Index values() const { return channels * height * width; }
    };

    /// Encodes the center crops of all images and writes the file, atomically. `options` gives size, width, resize and
    /// batch; unreadable images are replaced as ImageLoader does and reported to its `on_skip`. `progress(images done)`
    /// is called after every batch and stops by returning false: then there is no file, and the result is false.
    static bool write(const Path& path, const ImageDataset& data, LoaderOptions options, Shape shape,
                      const Encode& encode, std::map<std::string, std::string> metadata,
                      const std::function<bool(Index)>& progress = {}) {
        SafetensorsWriter writer(path, std::move(metadata));
        writer.declare("statistics", DType::f32, {2, data.size(), shape.channels, shape.height, shape.width});
        writer.declare("labels", DType::i64, {data.size()});
        options.shuffle = options.random_crop = options.flip = options.drop_last = false;
        options.start = 0;
        options.batch = std::min(options.batch, data.size());
        std::vector<Index> labels;
        for (const bool mirrored : {false, true}) {
            ImageLoader loader(data, options);
            for (Index done = 0; done < data.size();) {
                const Batch batch = loader.next();
                const Index count = std::min(options.batch, data.size() - done);
                const std::vector<float> images =
                    mirrored ? flipped(batch.images, options.width == 0 ? options.size : options.width) : batch.images;
                const std::vector<float> statistics = encode(images);
                require(static_cast<Index>(statistics.size()) == options.batch * shape.values(), path.string(),
                        ": expected ", options.batch * shape.values(), " values of the encoder, found ",
                        statistics.size());
                const auto used = static_cast<std::size_t>(count * shape.values());
                writer.write_values<float>("statistics", std::span(statistics).first(used));
                if (!mirrored) {
                    labels.insert(labels.end(), batch.labels.begin(), batch.labels.begin() + count);
                }
                done += count;
                if (progress && !progress(done + (mirrored ? data.size() : 0))) {
                    return false;
                }
            }
            options.on_skip = {};  // once is enough
        }
        writer.write_values<Index>("labels", labels);
        writer.finish();
        return true;
    }

    /// Opens a file; throws `Error` unless its tensors have the shapes above.
    explicit LatentCache(const Path& path) : file_(path) {
        const TensorView statistics = file_.at("statistics");
        const std::vector<Index>& s = statistics.shape;
        require(statistics.dtype == DType::f32 && s.size() == 5 && s[0] == 2 && s[1] > 0, path.string(),
                ": statistics: expected [2, images, channels, height, width] of F32, found ", shape_text(s), " of ",
                name_of(statistics.dtype));
        images_ = s[1];
        shape_ = {s[2], s[3], s[4]};
        const TensorView labels = file_.at("labels");
        require(labels.dtype == DType::i64 && labels.shape == std::vector<Index>{images_}, path.string(),
                ": labels: expected [", images_, "] of I64, found ", shape_text(labels.shape), " of ",
                name_of(labels.dtype));
        labels_ = values<Index>(labels);
        bytes_ = statistics.bytes;
    }

    /// Number of images.
    [[nodiscard]] Index size() const { return images_; }
    /// Extents of one image's latents.
    [[nodiscard]] Shape shape() const { return shape_; }
    /// Throws `std::out_of_range` unless 0 <= image < size().
    [[nodiscard]] Index label(Index image) const { return labels_.at(static_cast<std::size_t>(image)); }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return file_.metadata(); }

    /// Statistics [channels, height, width] of an image, copied to `out`.
    void read(Index image, bool mirrored, float* out) const {
        require(image >= 0 && image < images_, file_.path().string(), ": expected an image below ", images_, ", found ",
                image);
        const auto size = static_cast<std::size_t>(shape_.values()) * sizeof(float);
        const auto place = static_cast<std::size_t>(image + (mirrored ? images_ : 0));
        std::memcpy(out, bytes_.data() + place * size, size);
    }

    /// Batch `index` of an endless stream in a new order every epoch: the images, and the choice of mirrored ones, that
    /// ImageLoader with drop_last = false would give for this seed. Batch::images holds statistics.
    [[nodiscard]] Batch batch(std::uint64_t index, Index size, std::uint64_t seed, bool flip) const {
        const SampleStream stream{seed, images_, images_, true};
        const auto each = static_cast<std::size_t>(shape_.values());
        Batch out;
        out.index = index;
        out.images.resize(static_cast<std::size_t>(size) * each);
        for (Index i = 0; i < size; ++i) {
            const std::uint64_t sample = index * static_cast<std::uint64_t>(size) + static_cast<std::uint64_t>(i);
            const Index image = stream.index_of(sample);
            read(image, flip && stream.draw("flip", sample, 2) == 1,
                 out.images.data() + static_cast<std::size_t>(i) * each);
            out.labels.push_back(label(image));
        }
        return out;
    }

   private:
    /// Planes [images · 3, height, width] with every row reversed.
    [[nodiscard]] static std::vector<float> flipped(std::vector<float> planes, int width) {
        for (auto row = planes.begin(); row != planes.end(); row += width) {
            std::reverse(row, row + width);
        }
        return planes;
    }

    SafetensorsFile file_;
    Index images_ = 0;
    Shape shape_{};
    std::vector<Index> labels_;
    std::span<const std::byte> bytes_;
};

}  // namespace flowfar::io
