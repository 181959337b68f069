#pragma once

// Photos named on a command line: files, and the images of folders and tars.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/data/dataset.hpp"

namespace flowfar::program {

class PhotoList {
   public:
    struct Photo {
        std::string path;  ///< for people: as it was given, and for one of several what it is called there
        std::string name;  ///< without the folder or archive that was given
        std::shared_ptr<const io::ImageDataset> source;  ///< shared: it lists all of a set
        Index index = 0;

        /// Throws `Error` naming the photo.
        [[nodiscard]] Image load() const { return source->load(index); }
    };

    /// Lists all photos. Throws `Error` for what is neither an image, a folder of images nor a tar of them.
    explicit PhotoList(const std::vector<std::string>& paths) {
        for (const std::string& path : paths) {
            const auto data = std::make_shared<const io::ImageDataset>(path);
            const bool one = io::ImageDataset::is_one_image(path);
            for (Index i = 0; i < data->size(); ++i) {
                photos_.push_back(
                    {one ? path : text(path, path.ends_with('/') ? "" : "/", data->name(i)), data->name(i), data, i});
            }
            whole_sets_ = whole_sets_ || !one;
        }
    }

    [[nodiscard]] auto begin() const { return photos_.begin(); }
    [[nodiscard]] auto end() const { return photos_.end(); }
    [[nodiscard]] std::size_t size() const { return photos_.size(); }
    /// Whether one image was named and nothing else.
    [[nodiscard]] bool is_one_image() const { return size() == 1 && !whole_sets_; }

   private:
    std::vector<Photo> photos_;
    bool whole_sets_ = false;
};

}  // namespace flowfar::program
