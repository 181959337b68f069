#pragma once

#include <filesystem>

namespace flowfar::testing {

/// The checkout that the tests were built from, and the folder that they were built in. Only folders.cpp is told where
/// they are, so that a compiler cache serves every checkout.
[[nodiscard]] std::filesystem::path source_folder();
[[nodiscard]] std::filesystem::path binary_folder();

}  // namespace flowfar::testing
