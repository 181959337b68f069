// The entry point that libFuzzer calls.

#include "fuzz_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    flowfar::fuzz::run(std::as_bytes(std::span(data, size)));
    return 0;
}
