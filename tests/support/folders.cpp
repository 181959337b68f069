#include "folders.hpp"

namespace flowfar::testing {

std::filesystem::path source_folder() {
    return FLOWFAR_SOURCE_DIR;
}
std::filesystem::path binary_folder() {
    return FLOWFAR_BINARY_DIR;
}

}  // namespace flowfar::testing
