#!/usr/bin/env bash
# Builds the examples and runs the main one; arguments are passed on to it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/setup.sh

flowfar_install "${flowfar_packages[@]}" "${flowfar_test_packages[@]}"
flowfar_check_cmake
flowfar_configure release
cmake --build --preset release -j "$(flowfar_jobs)" --target examples
build/release/examples/flowmo_demo "$@"
