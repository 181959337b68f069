#pragma once

/// Labeled images in a folder or a tar archive, or one image.

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/core/philox.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/bytes/file_kind.hpp"
#include "flowfar/io/data/tar.hpp"
#include "flowfar/io/data/webdataset.hpp"
#include "flowfar/io/images/image.hpp"

namespace flowfar::io {

namespace detail {

inline bool has_image_extension(std::string_view name) {
    const auto ends_with = [&](std::string_view extension) {
        return name.size() >= extension.size() &&
               std::equal(extension.begin(), extension.end(), name.end() - std::ptrdiff_t(extension.size()),
                          [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
    };
    return ends_with(".jpg") || ends_with(".jpeg") || ends_with(".png");
}

/// Whether any component of a name begins with a dot (editors' and file managers' own files); "." and ".." do not hide.
inline bool is_hidden(std::string_view name) {
    while (!name.empty()) {
        const std::string_view part = name.substr(0, name.find('/'));
        if (part.starts_with('.') && part != "." && part != "..") {
            return true;
        }
        name.remove_prefix(std::min(part.size() + 1, name.size()));
    }
    return false;
}

/// Where the images are; shared by all views of one dataset.
struct ImageSource {
    Path root;
    std::optional<TarFile> archive;  ///< empty: `root` is a folder
    std::vector<std::string> class_names;
    std::string unlabeled;              ///< an image in no class folder where others are in some
    std::vector<std::string> dangling;  ///< links that lead to no image
};

}  // namespace detail

/// A list of images with class labels, sorted by name: the same everywhere. A copy copies the list, not the images;
/// `load` may be called from several threads.
///
/// Files named *.png, *.jpg or *.jpeg count (hidden ones do not). Folders that all of them share are ignored; the first
/// differing folder of a name is its class, and classes are numbered in the order of their names. If there is none, all
/// images are of one class, named after the innermost shared folder or else the file or folder opened. An archive with
/// labels beside its images is a WebDataset shard: see webdataset.hpp.
///
///     const auto [train, held_back] = io::ImageDataset("photos.tar").split(100, 1);
///     for (const auto& [image, label, name] : held_back) { … }
class ImageDataset {
   public:
    struct Item {
        std::string name;  ///< path below the folder, or inside the archive
        Index label = 0;
        std::uint64_t offset = 0;  ///< in the archive; unused for folders
        std::uint64_t size = 0;
    };

    /// Opens a folder, a tar archive or a single image. Throws `Error` if there are no images.
    explicit ImageDataset(const Path& path) {
        auto source = std::make_shared<detail::ImageSource>();
        source->root = path;
        std::error_code unclear;  // then opening it as a file says what is wrong
        if (std::filesystem::is_directory(path, unclear)) {
            list_folder(path, *source);
        } else if (is_one_image(path)) {
            source->root = path.has_parent_path() ? path.parent_path() : Path(".");
            items_.push_back({.name = path.filename().string()});
        } else {
            source->archive.emplace(path);
            list_archive(*source->archive, *source);
        }
        finish(std::move(source));
    }
    /// The images of an archive that is open already.
    explicit ImageDataset(TarFile archive) {
        auto source = std::make_shared<detail::ImageSource>();
        source->root = archive.path();
        source->archive.emplace(std::move(archive));
        list_archive(*source->archive, *source);
        finish(std::move(source));
    }

    /// Whether `path` is a file that is called as images are or begins as they do.
    [[nodiscard]] static bool is_one_image(const Path& path) {
        std::error_code unclear;
        if (!std::filesystem::is_regular_file(path, unclear)) {
            return false;
        }
        const std::string kind = file_kind(MappedFile(path).bytes());
        return detail::has_image_extension(path.string()) || kind == "a PNG image" || kind == "a JPEG image";
    }

    [[nodiscard]] Index size() const { return static_cast<Index>(items_.size()); }
    [[nodiscard]] const Item& item(Index index) const {
        require(index >= 0 && index < size(), source_->root.string(), ": expected an image index below ", size(),
                ", found ", index);
        return items_[static_cast<std::size_t>(index)];
    }
    /// Throws `Error` for an image in no class folder where others are in some.
    [[nodiscard]] Index label(Index index) const {
        const Index label = item(index).label;
        if (label < 0) {
            require_labels();
        }
        return label;
    }
    /// Whether every image has a class.
    [[nodiscard]] bool has_labels() const { return numbered_ || source_->unlabeled.empty(); }
    /// Throws `Error` unless every image has a class.
    void require_labels() const {
        require(has_labels(), source_->root.string(), ": some images are in class folders and some are not, such as ",
                source_->unlabeled);
    }
    /// What was found, for people: "12 images in 3 classes".
    [[nodiscard]] std::string summary() const {
        std::set<Index> present;
        for (const Item& item : items_) {
            present.insert(item.label);
        }
        std::string out = text(size(), size() == 1 ? " image" : " images");
        if (numbered_) {
            out += ", each with a label of its own";
        } else if (has_labels()) {
            out += text(" in ", present.size(), present.size() == 1 ? " class" : " classes");
        } else {
            out += ", some in folders and some not: no classes";
        }
        if (!source_->dangling.empty()) {
            out += text(
                " (left out: ", source_->dangling.size(),
                source_->dangling.size() == 1 ? " link that leads nowhere, " : " links that lead nowhere, such as ",
                source_->dangling.front(), ")");
        }
        return out;
    }
    /// Whether `load` turns images upright, as it does unless told otherwise.
    void set_orientation(Orientation orientation) { orientation_ = orientation; }
    [[nodiscard]] const std::string& name(Index index) const { return item(index).name; }
    /// Names of the labels 0, 1, ...; views made by `split` and `subset` keep them all.
    [[nodiscard]] const std::vector<std::string>& class_names() const { return source_->class_names; }

    /// Reads and decodes image `index`; throws `Error` naming it if that is impossible.
    [[nodiscard]] Image load(Index index) const {
        const Item& chosen = item(index);
        if (!source_->archive) {
            return read_image(source_->root / chosen.name, {.orientation = orientation_});
        }
        return decode_image(source_->archive->bytes({chosen.name, chosen.offset, chosen.size}),
                            text(source_->root.string(), ": ", chosen.name), orientation_);
    }

    /// One image of a range-for: `for (const auto& [image, label, name] : dataset)`. Each is read when it is reached.
    struct Example {
        Image image;
        Index label;  ///< -1: none
        std::string name;
    };
    class Iterator {
       public:
        Iterator(const ImageDataset* dataset, Index index) : dataset_(dataset), index_(index) {}
        [[nodiscard]] Example operator*() const {
            return {dataset_->load(index_), dataset_->item(index_).label, dataset_->name(index_)};
        }
        Iterator& operator++() {
            ++index_;
            return *this;
        }
        friend bool operator==(const Iterator& a, const Iterator& b) { return a.index_ == b.index_; }

       private:
        const ImageDataset* dataset_;
        Index index_;
    };
    [[nodiscard]] Iterator begin() const { return {this, 0}; }
    [[nodiscard]] Iterator end() const { return {this, size()}; }

    /// The view that holds the given images of this one, in the given order.
    [[nodiscard]] ImageDataset subset(const std::vector<Index>& indices) const {
        ImageDataset out;
        out.source_ = source_;
        out.orientation_ = orientation_;
        out.numbered_ = numbered_;
        for (const Index index : indices) {
            out.items_.push_back(item(index));
        }
        return out;
    }

    /// Labels each image by its place in this view: for what belongs to single images, such as captions.
    [[nodiscard]] ImageDataset numbered() const {
        ImageDataset out = *this;
        out.numbered_ = true;
        for (Index i = 0; i < size(); ++i) {
            out.items_[static_cast<std::size_t>(i)].label = i;
        }
        return out;
    }

    struct Split;
    /// Divides the images into a training and a validation view; `validation_count` images are chosen by a hash of
    /// `seed` and their names, so that most of the choice survives additions to the data.
    [[nodiscard]] Split split(Index validation_count, std::uint64_t seed) const;

   private:
    ImageDataset() = default;

    /// The end of construction: everything is listed.
    void finish(std::shared_ptr<detail::ImageSource> source) {
        const std::vector<std::string>& dangling = source->dangling;
        require(!items_.empty(), source->root.string(), ": no images (*.png, *.jpg, *.jpeg)",
                dangling.empty() ? "" : text("; ", dangling.front(), " is a link that leads nowhere"));
        std::ranges::sort(items_, {}, [](const Item& item) { return std::tie(item.name, item.offset); });
        const std::optional<ShardLabels> labels =
            source->archive ? shard_labels(*source->archive) : std::optional<ShardLabels>();
        if (labels) {
            take_labels(*source, *labels);
        } else {
            assign_labels(*source);
        }
        source_ = std::move(source);
    }

    void list_folder(const Path& root, detail::ImageSource& source) {
        // Links to folders are followed last, in the order of their names, and no folder is listed twice: so images
        // keep the names of real folders, and links that form loops repeat nothing.
        std::set<Path> listed;
        std::set<Path> folders{root};
        while (!folders.empty()) {
            std::set<Path> links;
            for (const Path& folder : folders) {
                list_folder(root, folder, listed, links, source);
            }
            folders = std::move(links);
        }
    }
    void list_folder(const Path& root, const Path& folder, std::set<Path>& listed, std::set<Path>& links,
                     detail::ImageSource& source) {
        namespace fs = std::filesystem;
        std::error_code problem;
        const Path real = fs::canonical(folder, problem);
        require(!problem, folder.string(), ": cannot list: ", problem.message());
        if (!listed.insert(real).second) {
            return;
        }
        std::vector<Path> below;
        for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
            const std::string name = entry->path().lexically_relative(root).generic_string();
            std::error_code unreadable;
            if (detail::is_hidden(name)) {
                continue;
            }
            if (entry->is_directory(unreadable)) {
                if (entry->is_symlink(unreadable)) {
                    links.insert(entry->path());
                } else {
                    below.push_back(entry->path());
                }
            } else if (detail::has_image_extension(name) && entry->is_regular_file(unreadable)) {
                items_.push_back({.name = name});
            } else if (detail::has_image_extension(name) && entry->is_symlink(unreadable)) {
                source.dangling.push_back(name);
            }
        }
        require(!problem, folder.string(), ": cannot list: ", problem.message());
        for (const Path& inner : below) {
            list_folder(root, inner, listed, links, source);
        }
    }

    void list_archive(const TarFile& archive, detail::ImageSource& source) {
        for (const std::string& name : archive.dangling()) {
            if (detail::has_image_extension(name) && !detail::is_hidden(name)) {
                source.dangling.push_back(name);
            }
        }
        for (const TarEntry& entry : archive.entries()) {
            if (detail::has_image_extension(entry.name) && !detail::is_hidden(entry.name)) {
                items_.push_back({.name = entry.name, .offset = entry.offset, .size = entry.size});
            }
        }
    }

    /// Length of the folders that all names begin with, including the last slash. Names are sorted, so the first and
    /// last suffice.
    [[nodiscard]] std::size_t shared_prefix() const {
        const std::string& first = items_.front().name;
        const std::string& last = items_.back().name;
        const auto differing = std::ranges::mismatch(first, last).in1;
        return std::string_view(first.begin(), differing).rfind('/') + 1;  // npos + 1 is 0: nothing shared
    }

    static std::string name_of_source(const detail::ImageSource& source) {
        if (source.archive) {
            return source.root.stem().string();
        }
        const Path folder =
            std::filesystem::absolute(source.root).lexically_normal();  // "." and "data/" have names too
        return (folder.has_filename() ? folder : folder.parent_path()).filename().string();
    }

    /// The labels that a shard stores: numbers as they are, names in their order.
    void take_labels(detail::ImageSource& source, const ShardLabels& labels) {
        std::map<std::string, std::string> images;  // by key
        for (Item& item : items_) {
            const std::string key = shard_key(item.name);
            const auto [first, only] = images.emplace(key, item.name);
            require(only, source.root.string(), ": a WebDataset shard with several images for the key \"", key,
                    "\": ", first->second, " and ", item.name, "; one is expected");
            const auto found = labels.of_key.find(key);
            require(found != labels.of_key.end(), source.root.string(), ": ", item.name,
                    " has no label, though others of this WebDataset shard have one (.cls, or \"label\" in .json)");
            item.label = found->second;
        }
        source.class_names = labels.class_names;
    }

    void assign_labels(detail::ImageSource& source) {
        const std::size_t shared = shared_prefix();
        const auto class_of = [&](const Item& item) {
            const std::string_view rest = std::string_view(item.name).substr(shared);
            return rest.substr(0, rest.find('/') == rest.npos ? 0 : rest.find('/'));
        };
        std::vector<std::string> classes;
        for (const Item& item : items_) {
            classes.emplace_back(class_of(item));
        }
        std::ranges::sort(classes);
        classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
        if (classes.size() > 1 && classes.front().empty()) {
            source.unlabeled =
                std::ranges::find_if(items_, [&](const Item& item) { return class_of(item).empty(); })->name;
            classes.erase(classes.begin());
        }
        for (Item& item : items_) {
            const bool loose = !source.unlabeled.empty() && class_of(item).empty();
            item.label = loose ? -1 : std::ranges::lower_bound(classes, class_of(item)) - classes.begin();
        }
        if (classes.front().empty()) {
            const Path folder = Path(items_.front().name.substr(0, shared)).parent_path();
            classes.front() = folder.empty() ? name_of_source(source) : folder.filename().string();
        }
        source.class_names = std::move(classes);
    }

    std::shared_ptr<const detail::ImageSource> source_;
    std::vector<Item> items_;
    Orientation orientation_ = Orientation::upright;
    bool numbered_ = false;  // labels are images' own
};

struct ImageDataset::Split {
    ImageDataset train;
    ImageDataset validation;
};

inline ImageDataset::Split ImageDataset::split(Index validation_count, std::uint64_t seed) const {
    require(validation_count >= 0 && validation_count <= size(), "split: expected 0..", size(),
            " validation images, found ", validation_count);
    std::vector<std::pair<std::uint64_t, Index>> order;
    for (Index i = 0; i < size(); ++i) {
        order.emplace_back(fold(seed, name(i)), i);
    }
    std::ranges::sort(order);
    std::vector<Index> chosen[2];
    for (Index i = 0; i < size(); ++i) {
        chosen[i < validation_count ? 1 : 0].push_back(order[static_cast<std::size_t>(i)].second);
    }
    std::ranges::sort(chosen[0]);
    std::ranges::sort(chosen[1]);
    return {subset(chosen[0]), subset(chosen[1])};
}

}  // namespace flowfar::io
