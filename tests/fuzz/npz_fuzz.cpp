// NumPy's archives, stored and compressed, and the statistics of features in them.

#include "flowfar/checkpoints/feature_statistics.hpp"
#include "flowfar/io/tensors/npz.hpp"

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
        const io::ReferenceStatistics statistics = io::load_statistics(file, 512);
        for (const auto& [key, set] : statistics.sets) {
            expect(set.covariance.size() == set.mean.size() * set.mean.size(), "a square matrix");
        }
    });
}

}  // namespace flowfar::fuzz
