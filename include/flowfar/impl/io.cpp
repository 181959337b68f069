/// The definitions of what the headers of io/ declare, for the one unit of a program that is compiled with
/// FLOWFAR_SEPARATE_DEFINITIONS; otherwise each of those headers includes its own.

#include "flowfar/impl/checkpoints/qwen2_config.ipp"
#include "flowfar/impl/io/bytes/file.ipp"
#include "flowfar/impl/io/bytes/json_text.ipp"
#include "flowfar/impl/io/data/webdataset.ipp"
#include "flowfar/impl/io/tensors/safetensors.ipp"
#include "flowfar/impl/io/tensors/safetensors_writer.ipp"
#include "flowfar/impl/io/tensors/sharded_safetensors.ipp"
#include "flowfar/impl/io/tensors/torch_checkpoint.ipp"
#include "flowfar/impl/io/tensors/torch_writer.ipp"
#include "flowfar/impl/io/tensors/weights.ipp"
#include "flowfar/impl/text/load_tokenizer.ipp"
