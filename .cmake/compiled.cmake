# The targets flowfar::compiled and flowfar::cuda_compiled. This file is part of the installed package, too: what takes long
# to compile and depends on no template argument is compiled once in the build that uses it, with that build's options and
# sanitizers, so the package stays one of headers. Nothing is compiled unless a target links them.

# flowfar_add_compiled(<include directory>): adds the targets for what is there of flowfar::io and flowfar::cuda.
function(flowfar_add_compiled include_dir)
    set(units "${include_dir}/flowfar/impl")
    if(NOT TARGET flowfar_compiled)
        if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES AND NOT CMAKE_CXX_FLAGS MATCHES "-O[123s]")
            message(NOTICE "flowfar: CMAKE_BUILD_TYPE is not set, so nothing is optimized and programs are about nine times as "
                           "slow; add -DCMAKE_BUILD_TYPE=Release")
        endif()
        add_library(flowfar_definitions STATIC EXCLUDE_FROM_ALL "${units}/cpu.cpp" "${units}/metrics.cpp")
        target_compile_definitions(flowfar_definitions PUBLIC FLOWFAR_SEPARATE_DEFINITIONS)
        target_link_libraries(flowfar_definitions PUBLIC flowfar::flowfar)
        add_library(flowfar_compiled INTERFACE)
        add_library(flowfar::compiled ALIAS flowfar_compiled)
        target_link_libraries(flowfar_compiled INTERFACE flowfar_definitions)
    endif()
    if(TARGET flowfar::io AND NOT TARGET flowfar_io_definitions)
        add_library(flowfar_io_definitions STATIC EXCLUDE_FROM_ALL "${units}/io.cpp")
        target_compile_definitions(flowfar_io_definitions PUBLIC FLOWFAR_SEPARATE_DEFINITIONS)
        target_link_libraries(flowfar_io_definitions PUBLIC flowfar::io)
        target_link_libraries(flowfar_compiled INTERFACE flowfar_io_definitions)
    endif()
    # The operations of the CUDA backend, one unit per family, because nvcc takes a while for each.
    get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
    if(TARGET flowfar::cuda AND "CUDA" IN_LIST languages AND NOT TARGET flowfar_cuda_definitions)
        file(GLOB cuda_units "${units}/cuda/*.cu")
        add_library(flowfar_cuda_definitions STATIC EXCLUDE_FROM_ALL ${cuda_units})
        add_library(flowfar::cuda_compiled ALIAS flowfar_cuda_definitions)
        target_link_libraries(flowfar_cuda_definitions PUBLIC flowfar_compiled flowfar::cuda)
    endif()
endfunction()
