#pragma once

/// An endless, reproducible stream of image batches, decoded ahead of time by worker threads.

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/core/philox.hpp"
#include "flowfar/io/data/dataset.hpp"
#include "flowfar/io/data/shuffle.hpp"
#include "flowfar/io/images/image_transform.hpp"

namespace flowfar::io {

/// An image that could not be read.
struct SkippedImage {
    std::string name;
    std::string reason;
};

struct LoaderOptions {
    Index batch = 1;
    int size = 256;            ///< height and width of the crops
    int width = 0;             ///< of the crops, where it is not their height; 0: `size`
    int resize = 0;            ///< before the crop, images are resized to just cover it, its short side being this long
                               ///< here; 0: as it is
    bool random_crop = false;  ///< else the center
    bool flip = false;         ///< mirror every second image, by chance
    bool shuffle = true;       ///< a new order in every epoch; else the order of the dataset
    bool drop_last = true;     ///< leave out an epoch's incomplete last batch; else batches run on into the next epoch
    std::uint64_t seed = 0;
    std::uint64_t start = 0;        ///< index of the first batch: resumes a stream exactly
    int threads = 2;                ///< 0: load in `next`, without threads
    Index prefetch = 4;             ///< most batches in the making or ready
    std::uint64_t cache_bytes = 0;  ///< memory for resized images, kept once read until it is full
    /// Called from `next`, once for every unreadable image.
    std::function<void(const SkippedImage&)> on_skip = {};
};

struct Batch {
    std::vector<float> images;  ///< [batch, 3, height, width] in [-1, 1]
    std::vector<Index> labels;  ///< [batch]
    std::uint64_t index = 0;    ///< of this batch in the stream
};

/// A batch whose images are a tensor [batch, 3, size, size] in [-1, 1].
template <AnyTensor Images>
struct TensorBatch {
    Images images;
    std::vector<Index> labels;  ///< [batch]
    std::uint64_t index = 0;    ///< of this batch in the stream
};

/// Batch b of the stream is a pure function of (dataset, options, b): the same for any number of threads, any prefetch
/// and any `start` <= b. An unreadable image is replaced by the next readable one of the dataset and reported by the
/// batch that would have held it; if none is readable, `next` throws `Error`. Use one loader from one thread.
///
///     io::ImageLoader loader(io::ImageDataset("photos"), {.batch = 32, .size = 64});
///     const auto [images, labels, index] = loader.next<Images>();      // on the device
///     for (const io::Batch& batch : loader.epoch()) { … }              // on the host; `loader` itself never ends
class ImageLoader {
   public:
    explicit ImageLoader(ImageDataset dataset, LoaderOptions options)
        : dataset_(std::move(dataset)),
          options_(std::move(options)),
          next_(options_.start),
          prepared_(static_cast<std::size_t>(dataset_.size())),
          problems_(static_cast<std::size_t>(dataset_.size())),
          reported_(static_cast<std::size_t>(dataset_.size())) {
        require(options_.batch > 0 && height() > 0 && width() > 0 && options_.threads >= 0 && options_.prefetch > 0,
                "ImageLoader: expected positive batch, size and prefetch, found ", options_.batch, ", ", options_.size,
                " and ", options_.prefetch, ", and threads >= 0, found ", options_.threads);
        require(dataset_.size() > 0, "ImageLoader: the dataset is empty");
        require(!options_.drop_last || options_.batch <= dataset_.size(), "ImageLoader: a batch of ", options_.batch,
                " is more than the ", dataset_.size(), " images; set drop_last = false to repeat images");
        require(options_.resize == 0 || options_.resize >= std::min(height(), width()), "ImageLoader: crops of ",
                std::min(height(), width()), " pixels do not fit a short side of ", options_.resize);
        check_image_size(static_cast<std::uint64_t>(height()), static_cast<std::uint64_t>(width()), "ImageLoader");
        if (options_.threads > 0) {
            open_slots();
        }
        for (int i = 0; i < options_.threads; ++i) {
            workers_.emplace_back([this](const std::stop_token& stop) { work(stop); });
        }
    }
    ImageLoader(const ImageLoader&) = delete;
    ImageLoader& operator=(const ImageLoader&) = delete;

    /// The next batch of the stream; waits for the workers if need be.
    [[nodiscard]] Batch next() {
        const std::shared_ptr<Slot> slot = workers_.empty() ? fill_here() : wait_for_front();
        if (slot->error != nullptr) {
            std::rethrow_exception(slot->error);
        }
        report(*slot);
        return std::move(slot->batch);
    }

    /// `next` with the images as a tensor, for example `loader.next<Model::Images>()`.
    template <AnyTensor Images>
    [[nodiscard]] TensorBatch<Images> next() {
        Batch batch = next();
        return {from_planes<Images>(batch.images, {options_.batch, 3, height(), width()}), std::move(batch.labels),
                batch.index};
    }

    /// The batches of a range-for, which `next` makes as it advances.
    class Batches {
       public:
        class Iterator {
           public:
            Iterator(ImageLoader* loader, Index left) : loader_(loader), left_(left) { fetch(); }
            [[nodiscard]] const Batch& operator*() const { return batch_; }
            Iterator& operator++() {
                --left_;
                fetch();
                return *this;
            }
            friend bool operator==(const Iterator& a, std::default_sentinel_t) { return a.left_ == 0; }

           private:
            void fetch() {
                if (left_ != 0) {
                    batch_ = loader_->next();
                }
            }

            ImageLoader* loader_;
            Index left_;  ///< negative: endless
            Batch batch_;
        };

        [[nodiscard]] Iterator begin() const { return {loader, count}; }
        [[nodiscard]] std::default_sentinel_t end() const { return {}; }

        ImageLoader* loader;
        Index count;
    };
    /// The next `batches_per_epoch` batches.
    [[nodiscard]] Batches epoch() { return {this, batches_per_epoch()}; }
    /// The next `count` batches.
    [[nodiscard]] Batches take(Index count) {
        require(count >= 0, "ImageLoader: ", count, " batches");
        return {this, count};
    }
    /// The stream, which has no end: leave the loop with `break`.
    [[nodiscard]] Batches::Iterator begin() { return {this, -1}; }
    [[nodiscard]] std::default_sentinel_t end() const { return {}; }

    /// Index of the batch that `next` returns: the `start` of a loader that continues this stream.
    [[nodiscard]] std::uint64_t position() const { return next_; }
    /// Full batches per epoch.
    [[nodiscard]] Index batches_per_epoch() const { return dataset_.size() / options_.batch; }
    [[nodiscard]] const ImageDataset& dataset() const { return dataset_; }
    /// Memory that the cache takes now.
    [[nodiscard]] std::uint64_t cached_bytes() const {
        const std::lock_guard lock(cache_mutex_);
        return cached_bytes_;
    }
    /// Unreadable images that the batches returned so far would have held, in that order, each once.
    [[nodiscard]] const std::vector<SkippedImage>& skipped() const { return skipped_; }

   private:
    /// A batch in the making. Workers fill different samples of it at the same time.
    struct Slot {
        Batch batch;
        std::vector<std::vector<Index>> skipped;  ///< per sample: unreadable images met before a readable one
        Index claimed = 0;                        ///< guarded by slots_mutex_, as are the following
        Index unfinished = 0;
        std::exception_ptr error;
    };

    [[nodiscard]] std::shared_ptr<Slot> make_slot(std::uint64_t index) const {
        auto slot = std::make_shared<Slot>();
        const auto batch = static_cast<std::size_t>(options_.batch);
        slot->batch.images.resize(batch * sample_size());
        slot->batch.labels.resize(batch);
        slot->batch.index = index;
        slot->skipped.resize(batch);
        slot->unfinished = options_.batch;
        return slot;
    }

    [[nodiscard]] int height() const { return options_.size; }
    [[nodiscard]] int width() const { return options_.width == 0 ? options_.size : options_.width; }
    /// A side of the crop before `resize` makes the area to cut from larger; rounded up, so that the crop fits.
    [[nodiscard]] int covered(int side) const {
        const std::int64_t shorter = std::min(height(), width());
        return options_.resize == 0 ? side
                                    : static_cast<int>((side * std::int64_t{options_.resize} + shorter - 1) / shorter);
    }
    [[nodiscard]] std::size_t sample_size() const {
        return 3 * static_cast<std::size_t>(height()) * static_cast<std::size_t>(width());
    }

    [[nodiscard]] std::shared_ptr<Slot> fill_here() {
        std::shared_ptr<Slot> slot = make_slot(next_);
        for (Index i = 0; i < options_.batch; ++i) {
            fill(*slot, i);
        }
        ++next_;
        return slot;
    }

    /// A slot with an error stays in front, so that every further call reports it too.
    [[nodiscard]] std::shared_ptr<Slot> wait_for_front() {
        std::unique_lock lock(slots_mutex_);
        finished_.wait(lock, [&] { return slots_.front()->unfinished == 0; });
        std::shared_ptr<Slot> slot = slots_.front();
        if (slot->error == nullptr) {
            slots_.pop_front();
            ++next_;
            open_slots();
            opened_.notify_all();
        }
        return slot;
    }

    /// Keeps `prefetch` slots in the queue, the first being batch `next_`. Called with the mutex held, or before the
    /// workers start.
    void open_slots() {
        while (slots_.size() < static_cast<std::size_t>(options_.prefetch)) {
            slots_.push_back(make_slot(next_ + slots_.size()));
        }
    }

    void work(const std::stop_token& stop) {
        std::unique_lock lock(slots_mutex_);
        for (;;) {
            std::shared_ptr<Slot> slot;
            const bool found = opened_.wait(lock, stop, [&] {
                const auto open = std::ranges::find_if(slots_, [&](auto& s) { return s->claimed < options_.batch; });
                slot = open == slots_.end() ? nullptr : *open;
                return slot != nullptr;
            });
            if (!found || stop.stop_requested()) {
                return;
            }
            const Index sample = slot->claimed++;
            lock.unlock();
            std::exception_ptr error;
            try {
                fill(*slot, sample);
            } catch (...) {
                error = std::current_exception();
            }
            lock.lock();
            if (error != nullptr) {
                slot->error = error;
            }
            if (--slot->unfinished == 0) {
                finished_.notify_all();
            }
        }
    }

    /// Produces sample `i` of a batch.
    void fill(Slot& slot, Index i) {
        const Index count = dataset_.size();
        const Index per_epoch = options_.drop_last ? count / options_.batch * options_.batch : count;
        const SampleStream stream{options_.seed, count, per_epoch, options_.shuffle};
        const std::uint64_t sample =
            slot.batch.index * static_cast<std::uint64_t>(options_.batch) + static_cast<std::uint64_t>(i);
        Index index = stream.index_of(sample);

        auto& skipped = slot.skipped[static_cast<std::size_t>(i)];
        std::shared_ptr<const Image> image = prepare(index);
        while (image == nullptr) {
            skipped.push_back(index);
            if (skipped.size() == prepared_.size()) {
                const SkippedImage first = describe(skipped.front());
                fail("ImageLoader: none of the ", dataset_.size(),
                     " images is readable; the first problem: ", first.reason);
            }
            index = (index + 1) % dataset_.size();
            image = prepare(index);
        }

        const auto draw = [&](std::string_view purpose, int below) {
            return static_cast<int>(stream.draw(purpose, sample, below));
        };
        const int rows = image->height - height();
        const int columns = image->width - width();
        const int top = options_.random_crop ? draw("top", rows + 1) : rows / 2;
        const int left = options_.random_crop ? draw("left", columns + 1) : columns / 2;
        Image cropped = crop(*image, top, left, height(), width());
        if (options_.flip && draw("flip", 2) == 1) {
            cropped = flip_horizontal(std::move(cropped));
        }
        to_unit_planes(cropped, slot.batch.images.data() + static_cast<std::size_t>(i) * sample_size());
        slot.batch.labels[static_cast<std::size_t>(i)] = dataset_.item(index).label;  // -1: none
    }

    /// The image resized, or null if it is unreadable.
    [[nodiscard]] std::shared_ptr<const Image> prepare(Index index) {
        const auto at = static_cast<std::size_t>(index);
        {
            const std::lock_guard lock(cache_mutex_);
            if (prepared_[at] != nullptr || !problems_[at].empty()) {
                return prepared_[at];
            }
        }
        std::shared_ptr<const Image> image;
        std::string problem;
        try {
            image = std::make_shared<const Image>(
                resize_to_cover(dataset_.load(index), covered(height()), covered(width())));
        } catch (const Error& error) {
            problem = error.what();
        } catch (const std::bad_alloc&) {
            problem = text(dataset_.name(index), ": not enough memory to decode it");
        }
        const std::lock_guard lock(cache_mutex_);
        problems_[at] = std::move(problem);
        if (image != nullptr && prepared_[at] == nullptr &&
            image->pixels.size() <= options_.cache_bytes - cached_bytes_) {
            prepared_[at] = image;
            cached_bytes_ += image->pixels.size();
        }
        return image;
    }

    [[nodiscard]] SkippedImage describe(Index index) {
        const std::lock_guard lock(cache_mutex_);
        return {dataset_.name(index), problems_[static_cast<std::size_t>(index)]};
    }

    void report(const Slot& slot) {
        for (const std::vector<Index>& indices : slot.skipped) {
            for (const Index index : indices) {
                if (reported_[static_cast<std::size_t>(index)]) {
                    continue;
                }
                reported_[static_cast<std::size_t>(index)] = true;
                skipped_.push_back(describe(index));
                if (options_.on_skip) {
                    options_.on_skip(skipped_.back());
                }
            }
        }
    }

    const ImageDataset dataset_;
    const LoaderOptions options_;
    std::uint64_t next_;

    mutable std::mutex cache_mutex_;
    std::vector<std::shared_ptr<const Image>> prepared_;
    std::vector<std::string> problems_;
    std::uint64_t cached_bytes_ = 0;

    std::vector<bool> reported_;
    std::vector<SkippedImage> skipped_;

    std::mutex slots_mutex_;
    std::condition_variable_any opened_;
    std::condition_variable finished_;
    std::deque<std::shared_ptr<Slot>> slots_;
    std::vector<std::jthread> workers_;  // last: joined before anything they use is destroyed
};

}  // namespace flowfar::io
