# The definitions of the CUDA backend as libraries of our own programs, in parts side by side because nvcc takes a while for
# each.

# flowfar_add_cuda_definitions(<library> <extension>): adds a static library of units with this extension, "cu" for nvcc or
# "cpp" for the host compiler and the emulator of tests/cuda.
function(flowfar_add_cuda_definitions library extension)
    add_library(${library} STATIC EXCLUDE_FROM_ALL)
    foreach(part IN ITEMS attention binary images linear memory rows unary updates)
        set(unit "${CMAKE_CURRENT_BINARY_DIR}/${library}/${part}.${extension}")
        configure_file("${PROJECT_SOURCE_DIR}/.cmake/cuda_unit.in" "${unit}" @ONLY)
        target_sources(${library} PRIVATE "${unit}")
    endforeach()
endfunction()

if(FLOWFAR_CUDA)
    flowfar_add_cuda_definitions(flowfar_cuda_definitions cu)
    target_link_libraries(flowfar_cuda_definitions PUBLIC flowfar_developer flowfar::cuda)
    # Host code as strict as elsewhere; registers that do not suffice stop the build.
    add_library(flowfar_cuda_warnings INTERFACE)
    target_compile_options(flowfar_cuda_warnings INTERFACE
        "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra;--Werror=default-stream-launch,cross-execution-space-call>"
        "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xptxas --warn-on-spills,--warning-as-error>")
    target_link_libraries(flowfar_cuda_definitions PRIVATE flowfar_cuda_warnings)
endif()
