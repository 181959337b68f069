#!/usr/bin/env bash
# Builds the demonstrations and runs them: FlowMo on a test card, then ten classes of images by FAR. Arguments are passed on to
# the first (images to show, --help for more). What is not shown is not built; PRESET=release builds as tests/run.sh does.
set -euo pipefail
from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .cmake/setup.sh

preset=${PRESET:-demo}
flowfar_install "${flowfar_packages[@]}"
flowfar_check_cmake
flowfar_configure "$preset"
cmake --build --preset "$preset" -j "$(flowfar_jobs)" --target flowmo_demo far_generate
programs=$PWD/build/$preset/examples
cd "$from" # images may be named relative to where the user is; results go there, too
"$programs/flowmo_demo" "$@"
if [[ " $* " != *" --help "* && " $* " != *" --version "* ]]; then
    mkdir -p far_demo_out
    "$programs/far_generate" --steps 25 --out far_demo_out/classes.png --progressive far_demo_out/levels.png
    cat <<TEXT

Pictures:
  flowmo_demo_out/contact_sheet.png   a test card, its tokens' reconstructions after 1, 4 and 25 steps
  far_demo_out/classes.png            ten classes, eight samples each
  far_demo_out/levels.png             one sample of each class, level by level
Next:
  $0 PHOTO...
  $programs/far_generate --classes cat --seed 2
  recipes for all programs, training on your photos among them: examples/programs/README.md
TEXT
fi
