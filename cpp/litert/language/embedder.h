// The part of a split model that turns token ids into embeddings.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "litert/language/model_layout.h"
#include "litert/runtime/bound_run.h"

namespace litert_native::language {

// Shared by all contexts, under its own mutex: a run only gathers rows.
class Embedder {
 public:
  // Throws StatusError where a name of `roles` is not in the model.
  Embedder(std::shared_ptr<runtime::CompiledModel> compiled,
           const std::vector<EmbedderRoles>& roles);

  // Writes the embeddings of `ids` into `rows`, float32[ids.size(), hidden] as bytes.
  void embed(std::span<const int32_t> ids, std::span<std::byte> rows);

 private:
  struct Signature {
    size_t num_tokens = 0;
    std::unique_ptr<runtime::BoundRun> run;
    std::span<int32_t> tokens;
    std::span<const std::byte> embeddings;
  };

  std::shared_ptr<runtime::CompiledModel> compiled_;
  std::vector<Signature> signatures_;  // by length, shortest first
};

}  // namespace litert_native::language
