#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/core/images/image.hpp"

namespace flowfar::program {

/// Images of the first columns and rows, as many as a picture of reasonable size holds.
class BoundedSheet {
   public:
    /// For cells of a height and a width.
    BoundedSheet(std::size_t rows, std::size_t columns, std::pair<int, int> cell)
        : columns_(columns),
          shown_rows_(std::min(rows, fitting(cell.first))),
          shown_columns_(std::min(columns, fitting(cell.second))),
          images_(shown_rows_ * shown_columns_) {}

    [[nodiscard]] bool shows(std::size_t number) const {
        return number / columns_ < shown_rows_ && number % columns_ < shown_columns_;
    }
    void add(std::size_t number, Image image) {
        if (shows(number)) {
            images_[number / columns_ * shown_columns_ + number % columns_] = std::move(image);
        }
    }
    [[nodiscard]] bool complete(std::size_t count) const { return shown_rows_ * shown_columns_ == count; }
    [[nodiscard]] std::size_t rows() const { return shown_rows_; }
    [[nodiscard]] std::size_t columns() const { return shown_columns_; }
    [[nodiscard]] std::span<const Image> images() const { return images_; }

   private:
    static std::size_t fitting(int side) { return static_cast<std::size_t>(std::max(1, 8192 / (side + 4))); }

    std::size_t columns_, shown_rows_, shown_columns_;
    std::vector<Image> images_;
};

}  // namespace flowfar::program
