// expect: ShiftedSteps: at least one step is needed
#include "flowfar/diffusion/time_schedule.hpp"

#ifdef FLOWFAR_FIXED
constexpr int steps = 1;
#else
constexpr int steps = 0;
#endif

constexpr double first = flowfar::ShiftedSteps<steps, flowfar::EvenSteps>::times[0];
