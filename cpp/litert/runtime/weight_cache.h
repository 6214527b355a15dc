// Packed weights in a file that processes share.
//
// XNNPACK writes and maps such a file, but checks neither whose weights they are nor their bytes,
// has no lock, and ends the process on a full disk. So: the name is a hash of all that they depend
// on, one process builds in memory and writes a file that it then renames, nothing is ever
// rewritten in place, a seal beside it says what the file was when it was finished, and a guard
// holds whoever changes it off those who read it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "litert/runtime/cache_folder.h"
#include "litert/runtime/compiled_model.h"
#include "litert/runtime/descriptor.h"

namespace litert_native::runtime {

// What a load did with the cache. The results are the same with each.
enum class CacheUse {
  kNone,      // nothing is kept: no cache was asked for, or there are no weights to pack
  kReused,    // the weights of a finished file
  kBuilt,     // packed now, and finished
  kInMemory,  // packed in memory, as another process or thread is building the file
  kFailed,    // packed in memory, as no file can be kept
};

struct CachedCompile {
  std::shared_ptr<CompiledModel> compiled;
  CacheUse use = CacheUse::kNone;
  std::string reason;  // of kFailed
};

// One file of packed weights, finished or not. Immutable; several threads and processes at once.
class WeightCache {
 public:
  // `content_hash` is the model's. All its signatures and rewritten lengths share one file; each
  // choice of `xnnpack_flags` (0: the library's) has its own.
  WeightCache(std::shared_ptr<const CacheFolder> folder, const std::string& content_hash,
              uint32_t xnnpack_flags = 0);

  using Compile = std::function<std::shared_ptr<CompiledModel>(const CompileOptions&)>;

  // Calls `compile` with `options` completed: with the finished file, or else with memory to build
  // in, and then with the file that was made of it; or, while another one builds it, with weights
  // in memory.
  [[nodiscard]] CachedCompile compile(const CompileOptions& options, const Compile& compile) const;

 private:
  struct Finished;

  [[nodiscard]] std::shared_ptr<CompiledModel> reuse(const CompileOptions& options,
                                                     const Compile& compile) const;
  [[nodiscard]] CachedCompile build(const CompileOptions& options, const Compile& compile) const;
  [[nodiscard]] Finished open_finished() const;
  [[nodiscard]] bool is_sealed(int descriptor) const;
  void seal(int descriptor, const std::string& hash) const;
  [[nodiscard]] bool seal_unchanged(const std::string& path, const std::string& hash) const;
  [[nodiscard]] std::string publish(std::span<const std::byte> weights) const;

  std::shared_ptr<const CacheFolder> folder_;
  std::string name_;
};

// Removes the least recently used files until all together are no larger than `max_bytes`; `kept`
// is never removed.
void bound_weight_files(const CacheFolder& folder, uint64_t max_bytes, const std::string& kept);

}  // namespace litert_native::runtime
