#pragma once

/// FlowMo, the image tokenizer: model, sampling, training. Add flowfar/cpu.hpp or flowfar/cuda.hpp for a backend and
/// flowfar/io.hpp for files.

#include "flowfar/flowmo/code_tokenizer.hpp"
#include "flowfar/flowmo/config.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/flowmo/sample.hpp"
#include "flowfar/flowmo/tiled.hpp"
#include "flowfar/flowmo/train.hpp"
