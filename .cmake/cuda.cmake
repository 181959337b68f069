# The CUDA language and the target flowfar::cuda.
include(CheckLanguage)

# check_language looks at PATH and CUDACXX only; the toolkit's own folder is usually in neither.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(FLOWFAR_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(FLOWFAR_NVCC)
        set(CMAKE_CUDA_COMPILER "${FLOWFAR_NVCC}" CACHE FILEPATH "CUDA compiler")
    endif()
endif()
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "FLOWFAR_CUDA=ON needs nvcc: put it on PATH, set CUDACXX to its path, or configure with FLOWFAR_CUDA=OFF")
endif()

# Without a value CMake would build for sm_75 alone. "80" also embeds PTX, the fallback for devices newer than listed.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80;90a-real;120" CACHE STRING "CUDA architectures")
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

file(GLOB_RECURSE flowfar_cuda_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/flowfar/*.cuh")
add_library(flowfar_cuda INTERFACE)
add_library(flowfar::cuda ALIAS flowfar_cuda)
set_target_properties(flowfar_cuda PROPERTIES EXPORT_NAME cuda)
target_sources(flowfar_cuda INTERFACE FILE_SET HEADERS BASE_DIRS include FILES ${flowfar_cuda_headers})
# The CUDA runtime comes with the language, linked as CMAKE_CUDA_RUNTIME_LIBRARY says: statically unless told otherwise.
target_link_libraries(flowfar_cuda INTERFACE flowfar CUDA::toolkit CUDA::cublasLt)
target_compile_definitions(flowfar_cuda INTERFACE FLOWFAR_WITH_CUDA)  # for flowfar/devices.hpp
# CMake 3.25 does not know CUDA C++20, so the standard is passed as a plain option. Device code may contract a*b+c: random
# numbers spell out their roundings. Host code of a .cu file gets the same option as elsewhere.
target_compile_options(flowfar_cuda INTERFACE
    "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr;-Xcompiler=-ffp-contract=off>")
