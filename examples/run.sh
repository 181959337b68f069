#!/usr/bin/env bash
# Builds the demonstration and runs it; arguments are passed on to it (images to show, --help for more).
set -euo pipefail
from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .cmake/setup.sh

flowfar_install "${flowfar_packages[@]}" "${flowfar_test_packages[@]}"
flowfar_check_cmake
flowfar_configure release
cmake --build --preset release -j "$(flowfar_jobs)" --target flowmo_demo
program=$PWD/build/release/examples/flowmo_demo
cd "$from" # images may be named relative to where the user is; results go there, too
exec "$program" "$@"
