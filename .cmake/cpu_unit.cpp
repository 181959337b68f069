#include "flowfar/backend/cpu/definitions.hpp"
