// expect: Levels: levels must not be negative and must increase
#include "flowfar/frequency/pyramid.hpp"

#ifdef FLOWFAR_FIXED
using Steps = flowfar::Levels<0, 2, 3>;
#else
using Steps = flowfar::Levels<0, 3, 3>;
#endif

constexpr auto first = flowfar::FrequencyPyramid<flowfar::SpatialFilter, Steps>::levels[0];
