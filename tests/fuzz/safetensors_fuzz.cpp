// Model files: the header, every view, and the conversions of their elements.

#include "flowfar/io/tensors/safetensors.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    only_errors([&] {
        const io::SafetensorsFile file(io::MappedFile::of_memory(input_name, bytes));
        std::size_t total = 0;
        for (const std::string& name : file.names()) {
            only_errors([&] {
                const io::TensorView view = file.at(name);
                touch(view.bytes);
                total += view.bytes.size();
                expect(static_cast<std::size_t>(io::element_count(view.shape, input_name)) * size_of(view.dtype) ==
                           view.bytes.size(),
                       "as many bytes as the shape asks for");
                static_cast<void>(io::values<float>(view));
            });
            only_errors([&] { static_cast<void>(io::values<Index>(file.at(name))); });
        }
        expect(total <= bytes.size(), "tensors that do not overlap");
        only_errors([&] { static_cast<void>(file.at("no such tensor")); });
    });
}

}  // namespace flowfar::fuzz
