#include "flowfar/metrics/definitions.hpp"
