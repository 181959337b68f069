#pragma once

/// `Autodiff<Backend>`: a backend that remembers what it computes, so that `backward(loss)` fills the gradients of
/// parameters.

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/autodiff/checkpoint.hpp"
#include "flowfar/tensor.hpp"
