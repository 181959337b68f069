#pragma once

/// The definitions of what the headers of io/ declare, for the one unit of a program that is compiled with
/// FLOWFAR_SEPARATE_DEFINITIONS; otherwise each of those headers includes its own.

#include "flowfar/io/file_definitions.hpp"
#include "flowfar/io/json_text_definitions.hpp"
#include "flowfar/io/safetensors_definitions.hpp"
#include "flowfar/io/safetensors_writer_definitions.hpp"
#include "flowfar/io/sharded_safetensors_definitions.hpp"
#include "flowfar/io/torch_checkpoint_definitions.hpp"
#include "flowfar/io/torch_writer_definitions.hpp"
#include "flowfar/io/weights_definitions.hpp"
