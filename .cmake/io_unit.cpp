#include "flowfar/io/definitions.hpp"
