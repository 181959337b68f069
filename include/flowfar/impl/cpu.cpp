/// The CPU backend's operations, for the one unit of a program that is compiled with FLOWFAR_SEPARATE_DEFINITIONS.

#include "flowfar/impl/backend/cpu/ops/all.ipp"
