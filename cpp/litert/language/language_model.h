// A language model's file, compiled at the lengths of the context that are in use.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "litert/language/embedder.h"
#include "litert/language/fair_mutex.h"
#include "litert/language/kv_caches.h"
#include "litert/language/length_rewriter.h"
#include "litert/language/model_layout.h"
#include "litert/language/prefill_plan.h"
#include "litert/runtime/cache_folder.h"
#include "litert/runtime/compiled_model.h"
#include "litert/runtime/weight_cache.h"

namespace litert_native::language {

// Where a model lies in its file.
struct Section {
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct LanguageModelOptions {
  int num_threads = 1;
  bool use_xnnpack = true;
  std::string cache_folder;    // empty: nothing is kept on disk
  int32_t context_length = 0;  // tokens a context can hold at most; 0: as exported
};

// Which prefill signatures are compiled: each takes time at load and memory.
enum class Prefills { kShortest, kAll };

// A compiled model, shared by the contexts of its length, and whose turn it is.
struct SharedCompiled {
  std::shared_ptr<runtime::CompiledModel> compiled;
  Prefills prefills = Prefills::kAll;
  FairMutex turn;
};

// Guarded by its own mutex; contexts run under SharedCompiled::turn.
class LanguageModel {
 public:
  // Compiles at the shortest length. Throws StatusError: 501 for damaged bytes, 5 for a model that
  // cannot be run rightly, 1 for a context length that it cannot have.
  static std::shared_ptr<LanguageModel> load(std::shared_ptr<const runtime::OpenFile> file,
                                             Section model, std::optional<Section> embedder,
                                             ModelLayout layout,
                                             const LanguageModelOptions& options);

  LanguageModel(std::shared_ptr<const runtime::OpenFile> file, Section section, ModelLayout layout,
                LanguageModelOptions options);
  LanguageModel(const LanguageModel&) = delete;
  LanguageModel& operator=(const LanguageModel&) = delete;

  [[nodiscard]] const ModelLayout& layout() const { return layout_; }
  [[nodiscard]] size_t context_length() const { return context_length_; }
  [[nodiscard]] const std::vector<CacheShape>& cache_shapes() const { return cache_shapes_; }
  [[nodiscard]] Embedder* embedder() const { return embedder_.get(); }
  [[nodiscard]] PrefillCosts& costs() { return costs_; }

  // The shortest length of the caches that holds `num_tokens` and gives what the full length gives.
  // Where another length has to be compiled, a longer one that is there already may do. Throws
  // ClosedError after close().
  [[nodiscard]] int32_t length_for(size_t num_tokens);
  // The compiled model to run at that length, with those prefill signatures at least. Throws
  // ClosedError after close().
  [[nodiscard]] std::shared_ptr<SharedCompiled> compiled_for(int32_t length, Prefills prefills);
  // What compiled_for() is asked for as long as no longer one is needed.
  [[nodiscard]] Prefills fewest_prefills() const;
  // Whether moving to another length is a matter of milliseconds.
  [[nodiscard]] bool resizes() const { return plan_.use() == LengthUse::kResizable; }

  // Releases the compiled models that no context holds; contexts cannot go on. Idempotent.
  void close();
  // Throws ClosedError after close().
  void check_open() const;

  // What was decided on the way and a log should say; each line once.
  [[nodiscard]] std::vector<std::string> take_notes();

 private:
  void analyse_length();
  void read_cache_shapes();
  void set_context_length();
  void load_embedder(Section section);
  [[nodiscard]] bool is_exact(int32_t length);
  [[nodiscard]] bool gives_the_same(int32_t length);
  [[nodiscard]] std::shared_ptr<SharedCompiled> shared_at(int32_t length, Prefills prefills);
  [[nodiscard]] std::shared_ptr<SharedCompiled> compile(int32_t length, Prefills prefills);
  void note(const std::string& line);

  std::shared_ptr<const runtime::OpenFile> file_;
  std::shared_ptr<const runtime::FileMapping> mapping_;  // of the section
  Section section_;
  ModelLayout layout_;
  LanguageModelOptions options_;
  std::shared_ptr<const runtime::CacheFolder> folder_;
  std::string content_hash_;
  std::optional<runtime::WeightCache> weights_;
  LengthPlan plan_;
  size_t context_length_ = 0;
  std::vector<CacheShape> cache_shapes_;
  std::unique_ptr<Embedder> embedder_;
  PrefillCosts costs_;

  std::mutex loading_;  // of what follows: one load or comparison at a time
  std::shared_ptr<SharedCompiled> latest_;
  int32_t latest_length_ = 0;
  std::map<int32_t, std::weak_ptr<SharedCompiled>> compiled_;  // at lengths that are compiled in
  std::map<int32_t, bool> verdicts_;
  std::atomic<bool> is_closed_ = false;
  std::mutex notes_mutex_;
  std::vector<std::string> notes_;
};

}  // namespace litert_native::language
