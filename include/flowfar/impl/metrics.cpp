/// The definitions of what the metrics' headers declare, for the one unit of a program that is compiled with
/// FLOWFAR_SEPARATE_DEFINITIONS; otherwise each of those headers includes its own.

#include "flowfar/impl/metrics/fid_convention.ipp"
#include "flowfar/impl/metrics/frechet.ipp"
#include "flowfar/impl/metrics/moments.ipp"
#include "flowfar/impl/metrics/precision_recall.ipp"
