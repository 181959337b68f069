#pragma once

// A training run on images as they are.

#include <cstdint>
#include <string>
#include <utility>

#include "flowfar/io/data/dataset.hpp"
#include "flowfar/io/data/loader.hpp"

#include "common/training/data_key.hpp"
#include "common/training/training_run.hpp"

namespace flowfar::program {

class ImageTrainingRun : public TrainingRun {
   public:
    ImageTrainingRun(const TrainingArguments& arguments, Device device, const io::ImageDataset& data)
        : ImageTrainingRun(arguments, device, data, split(data, arguments)) {}

   protected:
    /// The stream of training images for a model that wants height x width pixels.
    [[nodiscard]] io::LoaderOptions loader_options(int height, int width, Progress& progress) {
        io::LoaderOptions o;
        o.batch = common_.batch;
        o.size = height;
        o.width = width;
        o.resize = common_.resize;
        o.random_crop = true;
        o.flip = common_.flip;
        o.drop_last = false;
        o.seed = common_.seed;
        o.start = static_cast<std::uint64_t>(training().step_count());
        o.cache_bytes = std::uint64_t{1} << 30;
        o.on_skip = [&progress](const io::SkippedImage& image) {
            progress.note(printable(text("skipped ", image.name, ": ", image.reason)));
        };
        return o;
    }

    const io::ImageDataset::Split split_;

   private:
    ImageTrainingRun(const TrainingArguments& arguments, Device device, const io::ImageDataset& data,
                     io::ImageDataset::Split split)
        : TrainingRun(arguments, device, {data.summary(), split.train.size(), split.validation.size(), data_key(data)}),
          split_(std::move(split)) {
        options_["resize"] = text(arguments.resize);
        options_["flip"] = text(arguments.flip);
    }

    static io::ImageDataset::Split split(const io::ImageDataset& data, const TrainingArguments& a) {
        require(a.validation < data.size(), a.data, ": --validation ", a.validation, " leaves none of the ",
                data.size(), " images for training");
        return data.split(a.validation, a.choice());
    }
};

}  // namespace flowfar::program
