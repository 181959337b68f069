#pragma once

/// A directory for the files of one test, removed with everything in it when the test leaves the scope.

#include <filesystem>
#include <stdlib.h>
#include <string>
#include <string_view>
#include <system_error>

#include "flowfar/core/error.hpp"

namespace flowfar::testing {

class TempDir {
   public:
    /// Throws `Error` when the system's directory for temporary files cannot be written.
    TempDir() {
        std::string pattern = (std::filesystem::temp_directory_path() / "flowfar-test-XXXXXX").string();
        require(::mkdtemp(pattern.data()) != nullptr, "cannot create a temporary directory like ", pattern);
        path_ = pattern;
    }
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    /// The path of `name` inside the directory; the file need not exist.
    [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

   private:
    std::filesystem::path path_;
};

}  // namespace flowfar::testing
