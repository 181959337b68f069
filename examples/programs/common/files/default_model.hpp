#pragma once

// The small models that come with the library.

#include <filesystem>
#include <string>
#include <system_error>

namespace flowfar::program {

/// Where model `name` is: as installed relative to this program, else in the sources that it was built from.
[[nodiscard]] inline std::string default_model(const char* name) {
    namespace fs = std::filesystem;
    std::error_code unclear;
    const fs::path program = fs::read_symlink("/proc/self/exe", unclear);
    const fs::path installed = (program.parent_path() / FLOWFAR_INSTALLED_MODELS / name).lexically_normal();
    return !unclear && fs::exists(installed, unclear) ? installed.string()
                                                      : (fs::path(FLOWFAR_SOURCE_MODELS) / name).string();
}

}  // namespace flowfar::program
