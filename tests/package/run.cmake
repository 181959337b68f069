# One way of consuming the library (WAY); see CMakeLists.txt.
cmake_minimum_required(VERSION 3.25)

function(run)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT status EQUAL 0)
        list(JOIN ARGN " " command)
        message(FATAL_ERROR "${WAY}: ${command}\nended with ${status}:\n${output}")
    endif()
endfunction()

if(WAY STREQUAL "install")
    file(REMOVE_RECURSE "${PREFIX}")
    run("${CMAKE_COMMAND}" "${BUILD}") # takes notice of headers added since the last build
    run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${PREFIX}")
    file(GLOB_RECURSE there RELATIVE "${SOURCE}/include" "${SOURCE}/include/*.hpp")
    file(GLOB_RECURSE installed RELATIVE "${PREFIX}/include" "${PREFIX}/include/*.hpp")
    if(NOT there STREQUAL installed)
        set(missing ${there})
        list(REMOVE_ITEM missing ${installed})
        message(FATAL_ERROR "install: these headers of include/ were not installed: ${missing}")
    endif()
    return()
endif()

find_program(ccache ccache)
set(launcher "")
if(ccache)
    set(launcher "-DCMAKE_CXX_COMPILER_LAUNCHER=${ccache}")
    set(ENV{CCACHE_DEPEND} 1) # see .cmake/launcher.cmake
endif()
file(REMOVE_RECURSE "${SCRATCH}")
run("${CMAKE_COMMAND}" -S "${SOURCE}/tests/package/consumer" -B "${SCRATCH}" -G "${GENERATOR}" "-DWAY=${WAY}"
    "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_PREFIX_PATH=${PREFIX}" "-DFLOWFAR_SOURCE=${SOURCE}" "-DVERSION=${VERSION}" ${launcher})
run("${CMAKE_COMMAND}" --build "${SCRATCH}")
run("${SCRATCH}/consumer")
if(NOT WAY STREQUAL "find_package_core")
    run("${SCRATCH}/consumer_compiled")
endif()
