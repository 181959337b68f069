// NumPy's archives, stored and compressed.

#include "flowfar/io/npz.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    only_errors([&] {
        const io::NpzFile file(io::MappedFile::of_memory(input_name, bytes));
        io::Scratch scratch;
        for (const std::string& name : file.names()) {
            only_errors([&] {
                constexpr std::uint64_t limit = std::uint64_t{1} << 24;
                touch(file.at(name, scratch, limit).bytes);
            });
        }
    });
}

}  // namespace flowfar::fuzz
