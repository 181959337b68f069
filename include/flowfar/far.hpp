#pragma once

/// FAR, the image generator, with its autoencoder: models, sampling, training; from text, with its language model. Add
/// flowfar/cpu.hpp or flowfar/cuda.hpp for a backend and flowfar/io.hpp for files.

#include "flowfar/far/config.hpp"
#include "flowfar/far/model.hpp"
#include "flowfar/far/sample.hpp"
#include "flowfar/far/text/loss.hpp"
#include "flowfar/far/text/model.hpp"
#include "flowfar/far/text/train.hpp"
#include "flowfar/far/tokenizer.hpp"
#include "flowfar/far/train.hpp"
#include "flowfar/far/vae/model.hpp"
#include "flowfar/qwen2/model.hpp"
