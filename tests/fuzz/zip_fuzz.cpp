// The tables of zip archives.

#include "flowfar/io/bytes/zip_archive.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    only_errors([&] {
        const io::ZipArchive archive(bytes, input_name);
        std::size_t total = 0;
        for (const io::ZipEntry& entry : archive.entries()) {
            expect(archive.find(entry.name) == &entry, "entries found by their names");
            const auto data = archive.compressed(entry);
            touch(data);
            total += data.size();
            only_errors([&] { archive.verify(entry); });
        }
        expect(total <= bytes.size(), "entries that do not overlap");
    });
}

}  // namespace flowfar::fuzz
