#pragma once

/// Tokenizers in files, in every form in which Qwen2's is published.

#include "flowfar/io/bytes/file.hpp"
#include "flowfar/text/tokenizer.hpp"

namespace flowfar {

/// The readers of single files, over their bytes. Each throws `Error` with the file's name; sizes and counts are
/// limited, so that damaged files take no memory out of proportion.
namespace tokenizer_files {

/// {symbol: id}, ids 0, 1, … once each.
void read_vocab_json(const io::MappedFile& file, BpeVocabulary& out);
/// "left right" lines in the order of ranks, with or without a line "#version: …" before them.
void read_merges(const io::MappedFile& file, BpeVocabulary& out);
/// Everything in one file; merges as strings or pairs. Another pre-tokenization or normalization than Qwen2's is
/// refused.
void read_tokenizer_json(const io::MappedFile& file, BpeVocabulary& out);
/// {text: id}
void read_added_tokens(const io::MappedFile& file, BpeVocabulary& out);
/// The padding, and the added tokens if `out` has none yet.
void read_tokenizer_config(const io::MappedFile& file, BpeVocabulary& out);

}  // namespace tokenizer_files

/// The tokenizer in a folder: vocab.json and merges.txt, else tokenizer.json; and tokenizer_config.json or
/// added_tokens.json where they are. A file with a name like tokenizer.json may be given instead; its neighbors are
/// read, too.
[[nodiscard]] BpeTokenizer load_tokenizer(const io::Path& path);

}  // namespace flowfar

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/text/load_tokenizer.ipp"
#endif
