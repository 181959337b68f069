// expect: Power: numerator and denominator must be positive
#include "flowfar/diffusion/time_schedule.hpp"

#ifdef FLOWFAR_FIXED
using Curve = flowfar::Power<1, 4>;
#else
using Curve = flowfar::Power<-1, 4>;
#endif

constexpr double first = flowfar::ShiftedSteps<25, Curve>::times[0];
