#include "folders.hpp"

#include <cstdlib>

namespace flowfar::testing {

std::filesystem::path source_folder() {
    const char* const elsewhere = std::getenv("FLOWFAR_SOURCE_DIR");  // of a program that was built on another machine
    return elsewhere != nullptr ? elsewhere : FLOWFAR_SOURCE_DIR;
}
std::filesystem::path binary_folder() {
    return FLOWFAR_BINARY_DIR;
}

}  // namespace flowfar::testing
