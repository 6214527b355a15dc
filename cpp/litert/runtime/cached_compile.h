// Compiling any model with its packed weights kept in a folder.
#pragma once

#include <memory>
#include <string>

#include "litert/runtime/file_mapping.h"
#include "litert/runtime/model.h"
#include "litert/runtime/weight_cache.h"

namespace litert_native::runtime {

// Compiles `model` with the packed weights that `folder` has for it, or leaves them there; without
// a cache where `folder` is empty. `file` is what the model was mapped from: its content hash is
// remembered in the folder. Null for a model in memory, which is hashed anew.
[[nodiscard]] CachedCompile compile_cached(const std::shared_ptr<const Model>& model,
                                           const OpenFile* file, const CompileOptions& options,
                                           const std::string& folder);

}  // namespace litert_native::runtime
