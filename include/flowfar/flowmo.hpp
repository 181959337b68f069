#pragma once

/// FlowMo, the image tokenizer, and MaskGiT, the generator of its tokens: models, quantizers, sampling, training. Add
/// flowfar/cpu.hpp or flowfar/cuda.hpp for a backend and flowfar/io.hpp for files.

#include "flowfar/flowmo/code_tokenizer.hpp"
#include "flowfar/flowmo/config.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/flowmo/sample.hpp"
#include "flowfar/flowmo/tiled.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/maskgit/config.hpp"
#include "flowfar/maskgit/model.hpp"
#include "flowfar/maskgit/sample.hpp"
#include "flowfar/maskgit/train.hpp"
#include "flowfar/quantize/bsq.hpp"
#include "flowfar/quantize/fsq.hpp"
#include "flowfar/quantize/kl.hpp"
#include "flowfar/quantize/lfq.hpp"
