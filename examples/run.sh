#!/usr/bin/env bash
# Builds the demonstrations and runs them: FlowMo on a test card, then ten classes of images by FAR. Arguments are passed on to
# the first (images to show, --help for more).
set -euo pipefail
from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .cmake/setup.sh

flowfar_install "${flowfar_packages[@]}" "${flowfar_test_packages[@]}"
flowfar_check_cmake
flowfar_configure release
cmake --build --preset release -j "$(flowfar_jobs)" --target flowmo_demo far_generate
programs=$PWD/build/release/examples
cd "$from" # images may be named relative to where the user is; results go there, too
"$programs/flowmo_demo" "$@"
if [[ " $* " != *" --help "* && " $* " != *" --version "* ]]; then
    mkdir -p far_demo_out
    "$programs/far_generate" --steps 25 --out far_demo_out/classes.png --progressive far_demo_out/levels.png
fi
