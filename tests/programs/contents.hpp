#pragma once

// Reads back what a test let a program write.

#include <cstdio>
#include <string>

namespace flowfar::testing {

/// What was written to a temporary file, which is closed.
inline std::string contents(std::FILE* file) {
    std::string out;
    std::rewind(file);
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) {
        out += static_cast<char>(c);
    }
    std::fclose(file);
    return out;
}

}  // namespace flowfar::testing
