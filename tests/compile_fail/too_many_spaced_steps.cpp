// expect: Spaced: every section needs at least one step and no more steps than it was trained with
#include "flowfar/diffusion/respacing.hpp"

#ifdef FLOWFAR_FIXED
constexpr int kept = 20;
#else
constexpr int kept = 21;
#endif

constexpr double first = flowfar::Spaced<flowfar::Ddpm<20, flowfar::Cosine>, kept>::betas[0];
