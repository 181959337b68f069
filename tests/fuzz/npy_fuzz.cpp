// NumPy's array files.

#include "flowfar/io/tensors/npy.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    only_errors([&] {
        const io::NpyFile file(io::MappedFile::of_memory(input_name, bytes));
        io::Scratch scratch;
        const io::TensorView view = file.view(scratch);
        touch(view.bytes);
        expect(static_cast<std::size_t>(io::element_count(view.shape, input_name)) * size_of(view.dtype) ==
                   view.bytes.size(),
               "as many bytes as the shape asks for");
    });
}

}  // namespace flowfar::fuzz
