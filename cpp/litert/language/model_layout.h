// Which tensor of a language model is what, by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace litert_native::language {

// A cache of one signature: where it comes in, where it goes out, and which dimension is the
// context.
struct CacheRole {
  std::string input;
  std::string output;
  size_t sequence_axis = 0;
};

// One prefill or decode signature. Names are empty where there is no such tensor.
struct SignatureRoles {
  std::string key;
  size_t num_tokens = 0;          // that a run reads
  std::string tokens;             // int32[1, num_tokens], or
  std::string embeddings;         // float32[1, num_tokens, hidden]
  std::string positions;          // int32[num_tokens] or int32[1, num_tokens]
  std::string mask;               // [1, 1, num_tokens, length]
  std::string parameters;         // int32[1, 1, 1, 7]: first position, end, end, 0...
  std::string logits;             // float32[1, 1, vocab], of decode alone
  std::vector<CacheRole> caches;  // in one order in all signatures
};

// One signature of the model that turns ids into embeddings.
struct EmbedderRoles {
  std::string key;
  size_t num_tokens = 0;
  std::string tokens;
  std::string embeddings;
};

struct ModelLayout {
  int32_t length = 0;  // of the caches, as exported
  size_t vocab_size = 0;
  std::vector<SignatureRoles> prefills;  // by length, shortest first
  SignatureRoles decode;
  std::vector<EmbedderRoles> embedders;  // empty where tokens go in
};

}  // namespace litert_native::language
