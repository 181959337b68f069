#pragma once

/// FAR, the image generator, with its autoencoder: models, sampling, training; from text, with its language model; and
/// the paradigms that its paper compares it with, MAR, raster autoregression and VAR. Add flowfar/cpu.hpp or
/// flowfar/cuda.hpp for a backend and flowfar/io.hpp for files.

#include "flowfar/far/config.hpp"
#include "flowfar/far/model.hpp"
#include "flowfar/far/sample.hpp"
#include "flowfar/far/text/loss.hpp"
#include "flowfar/far/text/model.hpp"
#include "flowfar/far/text/train.hpp"
#include "flowfar/far/tokenizer.hpp"
#include "flowfar/far/train.hpp"
#include "flowfar/far/vae/model.hpp"
#include "flowfar/mar/config.hpp"
#include "flowfar/mar/model.hpp"
#include "flowfar/mar/train.hpp"
#include "flowfar/qwen2/model.hpp"
#include "flowfar/qwen2/prefix.hpp"
#include "flowfar/raster/config.hpp"
#include "flowfar/raster/model.hpp"
#include "flowfar/raster/train.hpp"
#include "flowfar/var/config.hpp"
#include "flowfar/var/model.hpp"
#include "flowfar/var/train.hpp"
