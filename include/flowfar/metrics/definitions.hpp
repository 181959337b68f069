#pragma once

/// The definitions of what the metrics' headers declare, for the one unit of a program that is compiled with
/// FLOWFAR_SEPARATE_DEFINITIONS; otherwise each of those headers includes its own.

#include "flowfar/metrics/fid_convention_definitions.hpp"
#include "flowfar/metrics/frechet_definitions.hpp"
#include "flowfar/metrics/moments_definitions.hpp"
#include "flowfar/metrics/precision_recall_definitions.hpp"
