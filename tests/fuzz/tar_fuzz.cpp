// Archives and the data set made from one. Header checksums are also put right.

#include <algorithm>
#include <string>

#include "flowfar/io/data/dataset.hpp"
#include "flowfar/io/data/tar.hpp"

#include "../io/tar_builder.hpp"
#include "fuzz_target.hpp"

namespace flowfar::fuzz {

namespace {

void read(Bytes bytes) {
    only_errors([&] {
        const io::TarFile archive(io::MappedFile::of_memory(input_name, bytes));
        for (const io::TarEntry& entry : archive.entries()) {
            expect(!entry.name.empty(), "entries with names");
            touch(archive.bytes(entry));
        }
    });
    only_errors([&] {
        const io::ImageDataset images(io::TarFile(io::MappedFile::of_memory(input_name, bytes)));
        const auto classes = static_cast<Index>(images.class_names().size());
        for (Index i = 0; i < images.size(); ++i) {
            const Index label = images.item(i).label;
            expect(label < classes && (label >= 0 || !images.has_labels()), "labels of known classes");
        }
        const auto parts = images.split(images.size() / 2, 1);
        expect(parts.train.size() + parts.validation.size() == images.size(), "a split of all images");
    });
}

}  // namespace

void run(Bytes bytes) {
    read(bytes);
    const std::string fixed =
        testing::with_fresh_checksums({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    read(std::as_bytes(std::span(fixed)));
}

}  // namespace flowfar::fuzz
