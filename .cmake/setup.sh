# Sourced by the scripts that build: makes sure that the tools and libraries are there, and configures a preset.

# Debian's and Ubuntu's names; alternatives are separated by |, the first one is installed.
flowfar_packages=(cmake ninja-build g++ ccache time libeigen3-dev nlohmann-json3-dev libpng-dev zlib1g-dev
    "libjpeg-dev|libjpeg62-turbo-dev|libjpeg-turbo8-dev")
flowfar_test_packages=(doctest-dev libbenchmark-dev)

flowfar_has_package() {
    local name
    for name in ${1//|/ }; do
        if [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]]; then
            return 0
        fi
    done
    return 1
}

# flowfar_install <packages...>: installs what is missing with apt; elsewhere, or without the right to, says what is needed.
flowfar_install() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        echo "This is not Debian or Ubuntu, so nothing is installed. Needed are: CMake 3.25, Ninja, a C++20 compiler (g++ 12," \
            "clang 16 or newer), Eigen 3.4, nlohmann-json, libpng, libjpeg-turbo, zlib; for tests and benchmarks also doctest and" \
            "Google Benchmark; optional: ccache, GNU time." >&2
        return 0
    fi
    local package missing=()
    for package in "$@"; do
        if ! flowfar_has_package "$package"; then
            missing+=("${package%%|*}")
        fi
    done
    if [[ ${#missing[@]} -eq 0 ]]; then
        return 0
    fi
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        if ! command -v sudo >/dev/null; then
            echo "Missing packages and no sudo; run as root: apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "installing: ${missing[*]}"
    # A stale or partly unreachable package index is only a problem if the installation then fails.
    "${as_root[@]}" apt-get update -qq || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# flowfar_check_cmake: a clear message for distributions whose CMake is too old.
flowfar_check_cmake() {
    local version
    if ! command -v cmake >/dev/null; then
        echo "cmake was not found" >&2
        return 1
    fi
    version=$(cmake --version | sed -n 's/^cmake version \([0-9.]*\).*/\1/p')
    if [[ $(printf '3.25\n%s\n' "$version" | sort -V | head -n 1) != 3.25 ]]; then
        echo "CMake 3.25 or newer is needed, found $version (a newer one: pip install cmake, or cmake.org)" >&2
        return 1
    fi
}

# flowfar_configure <preset>: quiet unless it fails. A build directory that belongs to another checkout starts anew. What
# FLOWFAR_CMAKE_OPTIONS holds, separated by blanks, is passed on.
flowfar_configure() {
    local preset=$1 cache="build/$1/CMakeCache.txt" log options
    read -ra options <<<"${FLOWFAR_CMAKE_OPTIONS:-}"
    if [[ -f $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$cache"; then
        rm -rf "build/$preset"
    fi
    log=$(mktemp)
    if ! cmake --preset "$preset" "${options[@]}" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

flowfar_jobs() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN; }
