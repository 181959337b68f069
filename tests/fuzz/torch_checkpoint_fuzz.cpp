// PyTorch's checkpoints, archives and streams.

#include "flowfar/io/tensors/torch_checkpoint.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    only_errors([&] {
        const io::TorchCheckpoint file(io::MappedFile::of_memory(input_name, bytes));
        io::Scratch scratch;
        std::size_t loaded = 0;
        for (const std::string& name : file.names()) {
            static_cast<void>(file.info(name));
            if (loaded > std::size_t{1} << 24) {
                continue;  // a tensor may name its elements more than once: that costs time, and is tested by now
            }
            only_errors([&] {
                const io::TensorView view = file.at(name, scratch);
                touch(view.bytes);
                loaded += view.bytes.size();
                expect(static_cast<std::size_t>(io::element_count(view.shape, input_name)) * size_of(view.dtype) ==
                           view.bytes.size(),
                       "as many bytes as the shape asks for");
            });
        }
        for (const auto& [name, description] : file.values()) {
            expect(description.size() <= 1024, "short descriptions");
        }
        only_errors([&] { file.verify(); });
    });
}

}  // namespace flowfar::fuzz
