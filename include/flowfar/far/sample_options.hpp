#pragma once

#include "flowfar/autoregressive/sample_options.hpp"
#include "flowfar/far/level_schedule.hpp"

namespace flowfar {

// FAR's names of what all paradigms share.
using FarSampleOptions = TokenSampleOptions;
template <class Model>
using FarStep = TokenStep<Model>;

}  // namespace flowfar
