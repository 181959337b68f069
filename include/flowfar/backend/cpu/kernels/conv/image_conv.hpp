#pragma once

#include <algorithm>

#include "flowfar/backend/cpu/runtime/block_cache.hpp"
#include "flowfar/backend/cpu/runtime/thread_pool.hpp"
#include "flowfar/core/shapes/conv_shape.hpp"

namespace flowfar::cpu {

/// What convolutions share whose tiles read the image where it is: 16 neighboring outputs see, through one tap, 16
/// neighboring words of a line. The image is copied once, with a margin of zeros, as [line][word of channels][column],
/// where a word is one channel or a pair. In this order, what a tile takes from a line lies together; from whole planes
/// it would come from as many pages, and fall into the same few sets of the cache.
class ImageConv {
   public:
    /// Whether the shape suits: 16 neighboring outputs lie in one line and see neighboring pixels.
    [[nodiscard]] static bool takes(const ConvShape& shape) {
        return shape.options.stride == 1 && shape.out_width % lanes == 0;
    }

   protected:
    static constexpr Index lanes = 16;
    static constexpr Index panel = 2 * lanes;  ///< output pixels of a tile
    static constexpr Index most_rows = 14;     ///< output channels of a tile
    /// Panels that are computed together: what they see stays in the second cache.
    static constexpr Index block_panels = 3;

    /// `words` are the words that hold a pixel's channels, 32 bits each.
    ImageConv(const ConvShape& shape, Index words)
        : s_(shape),
          area_(shape.height * shape.width),
          pixels_(shape.pixels()),
          words_(words),
          padded_height_(shape.out_height + shape.kernel_height - 1),
          line_(((shape.out_width + shape.kernel_width - 1 + lanes - 1) / lanes | 1) * lanes) {}

    /// Words of one image.
    [[nodiscard]] Index image_words() const { return padded_height_ * words_ * line_; }
    /// The copies of all images: `pack(n, word, to)` writes the lines of one word of channels, `words_ * line_` apart.
    template <class Word, class Pack>
    [[nodiscard]] std::shared_ptr<std::byte> packed_images(Pack&& pack) const {
        static_assert(sizeof(Word) == 4);
        auto block = BlockCache::instance().allocate(static_cast<std::size_t>(s_.batch * image_words()) * sizeof(Word));
        Word* const images = reinterpret_cast<Word*>(block.get());
        parallel_for(s_.batch * words_, 1, [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) {
                pack(i / words_, i % words_, images + i / words_ * image_words() + i % words_ * line_);
            }
        });
        return block;
    }

    /// A part of the result: of image n the pixels [from, from + count) and the output channels of tiles [begin, end).
    struct Task {
        Index n;
        Index from;
        Index count;
        Index begin;
        Index end;
    };
    [[nodiscard]] Index tiles() const { return (s_.out + most_rows - 1) / most_rows; }
    /// The first output channel of a tile.
    [[nodiscard]] Index first_row(Index tile) const { return s_.out * tile / tiles(); }

    /// Calls `work()(task)` for all tasks, on all threads; each thread's `work()` gets neighboring tasks: tasks of
    /// the same pixels follow each other.
    template <class Work>
    void for_tasks(Work&& work) const {
        const Index blocks = (pixels_ + block_panels * panel - 1) / (block_panels * panel);
        // Small images have fewer blocks than there are threads; then the output channels are split as well.
        const Index wanted = 8 * ThreadPool::instance().threads();
        const Index parts = std::clamp<Index>((wanted + s_.batch * blocks - 1) / (s_.batch * blocks), 1, tiles());
        parallel_for(s_.batch * blocks * parts, 1, [&](Index begin, Index end) {
            auto&& run = work();
            for (Index i = begin; i < end; ++i) {
                const Index from = i / parts % blocks * block_panels * panel;
                const Index part = i % parts;
                run(Task{i / parts / blocks, from, std::min(block_panels * panel, pixels_ - from),
                         tiles() * part / parts, tiles() * (part + 1) / parts});
            }
        });
    }
    /// Calls `run(tile, column, columns)` for a task's tiles and panels, in an order in which both stay in the caches.
    template <class Run>
    static void for_each_tile(const Task& task, Run&& run) {
        constexpr Index together = 4;  // that many tiles of the weight stay in the second cache
        for (Index first = task.begin; first < task.end; first += together) {
            for (Index column = 0; column < task.count; column += panel) {
                for (Index tile = first; tile < std::min(first + together, task.end); ++tile) {
                    run(tile, column, std::min(panel, task.count - column));
                }
            }
        }
    }
    /// Where in an image the first word is that an output pixel sees.
    [[nodiscard]] Index seen_from(Index pixel) const {
        return pixel / s_.out_width * words_ * line_ + pixel % s_.out_width;
    }

    ConvShape s_;
    Index area_;
    Index pixels_;
    Index words_;
    Index padded_height_;
    Index line_;  ///< words from one channel word to the next: whole cache lines, an odd number of them
};

}  // namespace flowfar::cpu
