#pragma once

/// Files: images, data sets, weights of every format, models (`load`, `save`), token files, training states, tokenizers
/// of text. It needs nlohmann-json, libpng, libjpeg-turbo and zlib.

#include "flowfar/checkpoints/codes/latent_cache.hpp"
#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/checkpoints/codes/token_set.hpp"
#include "flowfar/checkpoints/far.hpp"
#include "flowfar/checkpoints/far_text.hpp"
#include "flowfar/checkpoints/flowmo.hpp"
#include "flowfar/checkpoints/load.hpp"
#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/checkpoints/maskgit.hpp"
#include "flowfar/checkpoints/qwen2.hpp"
#include "flowfar/checkpoints/train_state.hpp"
#include "flowfar/checkpoints/vae.hpp"
#include "flowfar/io/data/captions.hpp"
#include "flowfar/io/data/dataset.hpp"
#include "flowfar/io/data/feature_cache.hpp"
#include "flowfar/io/data/loader.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/images/tiles.hpp"
#include "flowfar/io/tensors/npy.hpp"
#include "flowfar/io/tensors/npz.hpp"
#include "flowfar/io/tensors/weights.hpp"
#include "flowfar/text/load_tokenizer.hpp"
#include "flowfar/text/prompts.hpp"
