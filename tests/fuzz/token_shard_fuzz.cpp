// Shards of tokens: metadata, sizes, labels and indices. (The checksum, which would stop nearly every input, is left
// out.)

#include <vector>

#include "flowfar/checkpoints/codes/token_set.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    only_errors([&] {
        const io::detail::TokenShard shard{io::SafetensorsFile(io::MappedFile::of_memory(input_name, bytes)),
                                           io::detail::TokenShard::Checksum::ignore};
        const io::TokenSetFacts& facts = shard.facts();
        const Index count = facts.size_of(shard.number());
        expect(count >= 1 && count <= static_cast<Index>(bytes.size()), "as many images as the file has room for");
        for (Index image = 0; image < count; ++image) {
            const Index label = shard.label(image);
            expect(label >= 0 && label < static_cast<Index>(facts.classes.size()), "a label that is a class");
            only_errors([&] {
                std::vector<std::uint32_t> indices;
                shard.read(image, indices);
                expect(static_cast<Index>(indices.size()) == facts.length * facts.per_token, "all indices of an image");
            });
        }
    });
}

}  // namespace flowfar::fuzz
