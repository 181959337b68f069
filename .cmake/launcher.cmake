# Compiler launchers of a top-level build: ccache when it is there, and a recorder that writes the time and memory of each
# real compilation into compile_costs.tsv. The recorder runs below ccache, so cache hits leave earlier records alone. With
# CCACHE_DEPEND a unit that is not in the cache is not preprocessed first, which takes a twentieth to a fifth of its time.
if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER AND NOT CMAKE_HOST_WIN32)
    find_program(FLOWFAR_CCACHE ccache)
    mark_as_advanced(FLOWFAR_CCACHE)
    set(recorder "${PROJECT_SOURCE_DIR}/tests/support/record_cost.sh")
    set(costs "FLOWFAR_COSTS=${PROJECT_BINARY_DIR}/compile_costs.tsv")
    if(FLOWFAR_CCACHE AND "${recorder}" MATCHES "[ \t]") # ccache splits its prefix at blanks
        set(CMAKE_CXX_COMPILER_LAUNCHER "${FLOWFAR_CCACHE}")
    elseif(FLOWFAR_CCACHE)
        set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env CCACHE_DEPEND=1 "${costs}" "CCACHE_PREFIX=${recorder}"
            "${FLOWFAR_CCACHE}")
    else()
        set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "${costs}" "${recorder}")
    endif()
    set(CMAKE_CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
endif()
