# install() rules and the package that find_package(flowfar) reads. Each component has its own target file, so a consumer
# of the core alone needs neither nlohmann-json nor image libraries.
include(CMakePackageConfigHelpers)
set(flowfar_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/flowfar")

function(flowfar_install_component target file)
    install(TARGETS ${target} EXPORT ${file} FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" ${ARGN})
    install(EXPORT ${file} NAMESPACE flowfar:: DESTINATION "${flowfar_package_dir}")
endfunction()

flowfar_install_component(flowfar flowfarTargets FILE_SET bodies DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(TARGET flowfar_io)
    flowfar_install_component(flowfar_io flowfarIoTargets)
endif()
if(TARGET flowfar_cuda)
    flowfar_install_component(flowfar_cuda flowfarCudaTargets)
endif()

configure_package_config_file(.cmake/flowfarConfig.cmake.in "${PROJECT_BINARY_DIR}/flowfarConfig.cmake"
                              INSTALL_DESTINATION "${flowfar_package_dir}" NO_SET_AND_CHECK_MACRO
                              PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/flowfarConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/flowfarConfig.cmake" "${PROJECT_BINARY_DIR}/flowfarConfigVersion.cmake"
        DESTINATION "${flowfar_package_dir}")
install(FILES .cmake/compiled.cmake DESTINATION "${flowfar_package_dir}" RENAME flowfarCompiled.cmake)
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/licenses/flowfar")
