// Token streams. The checksum would stop nearly every input, so it is also put right.

#include <algorithm>
#include <cstring>
#include <vector>

#include "flowfar/checkpoints/codes/token_file.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    const auto read = [](Bytes stream) {
        only_errors([&] {
            const io::TokenFile file = io::unpack_tokens(stream, input_name);
            if (file.tokens.batch == 0) {
                return;  // nothing to pack
            }
            const std::vector<std::byte> again = io::pack_tokens(file);
            const bool same_size = again.size() == stream.size();
            expect(same_size && io::unpack_tokens(again, input_name).tokens.indices == file.tokens.indices,
                   "the same tokens after packing them again");
        });
    };
    read(bytes);
    if (bytes.size() >= 4) {
        std::vector<std::byte> valid(bytes.begin(), bytes.end());
        const std::uint32_t sum = io::crc32(std::span(valid).first(valid.size() - 4));
        std::memcpy(valid.data() + valid.size() - 4, &sum, 4);
        read(valid);
    }
}

}  // namespace flowfar::fuzz
