// Packed weights in a file that processes share.
//
// XNNPACK writes and maps such a file, but checks neither whose weights they are nor their bytes,
// and has no lock. So: the name is a hash of all that they depend on, one process builds under a
// name of its own and renames the finished file, nothing is ever rewritten in place, and a seal
// beside it says what the file was when it was finished.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "litert/runtime/cache_folder.h"
#include "litert/runtime/compiled_model.h"

namespace litert_native::runtime {

// One file of packed weights, finished or not. Immutable; several threads and processes at once.
class WeightCache {
 public:
  // `content_hash` is the model's. All its signatures and rewritten lengths share one file.
  WeightCache(std::shared_ptr<const CacheFolder> folder, const std::string& content_hash);

  using Compile = std::function<std::shared_ptr<CompiledModel>(const CompileOptions&)>;

  // Calls `compile` with `options` completed: with the finished file, or else building it, or,
  // while another process builds it, with weights in memory.
  [[nodiscard]] std::shared_ptr<CompiledModel> compile(const CompileOptions& options,
                                                       const Compile& compile) const;

 private:
  class Descriptor;

  [[nodiscard]] int open_finished() const;
  [[nodiscard]] bool is_sealed(int descriptor) const;
  void seal(int descriptor, const std::string& hash) const;
  void publish(const std::string& temporary, Descriptor lock) const;
  void replace_by_large_pages(const std::string& hash) const;

  std::shared_ptr<const CacheFolder> folder_;
  std::string name_;
};

// Removes the least recently used files until all together are no larger than `max_bytes`; `kept`
// is never removed.
void bound_weight_files(const CacheFolder& folder, uint64_t max_bytes, const std::string& kept);

}  // namespace litert_native::runtime
