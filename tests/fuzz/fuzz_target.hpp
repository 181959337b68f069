#pragma once

/// What the fuzz targets share. A target reads hostile bytes; the library may accept them or throw its own Error that
/// names the input. Anything else (another exception, an out-of-range access, undefined behavior, a leak, memory or
/// time out of proportion) is a finding.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "flowfar/core/error.hpp"

namespace flowfar::fuzz {

/// Stands for the file's name; error messages begin with it.
inline constexpr const char* input_name = "input";

using Bytes = std::span<const std::byte>;

/// Calls `read()`, which may throw Error; its message must begin with the input's name.
template <class Read>
void only_errors(Read&& read, std::string_view name = input_name) {
    try {
        read();
    } catch (const Error& error) {
        if (!std::string_view(error.what()).starts_with(name)) {
            std::fprintf(stderr, "the message does not name the input: %s\n", error.what());
            std::abort();
        }
    }
}

/// Uses every byte, so that the address sanitizer sees the whole range.
inline void touch(Bytes bytes) {
    unsigned sum = 0;
    for (const std::byte byte : bytes) {
        sum += std::to_integer<unsigned>(byte);
    }
    [[maybe_unused]] volatile unsigned sink = sum;
}

/// Stops the run unless `condition` holds: for what must be true of every accepted input.
inline void expect(bool condition, const char* what) {
    if (!condition) {
        std::fprintf(stderr, "expected: %s\n", what);
        std::abort();
    }
}

/// Defined once by each target.
void run(Bytes bytes);

}  // namespace flowfar::fuzz
