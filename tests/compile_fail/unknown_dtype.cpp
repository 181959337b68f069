// expect: DTypeOf<char>
// A type that no tensor holds has no DType.
#include "flowfar/core/dtype.hpp"

#ifdef FLOWFAR_FIXED
using Element = float;
#else
using Element = char;
#endif

static_assert(flowfar::dtype_of<Element> == flowfar::DType::f32);
