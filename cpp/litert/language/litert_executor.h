// Runs a language model on one context.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "litert/language/attention_mask.h"
#include "litert/language/kv_caches.h"
#include "litert/language/language_model.h"
#include "litert/language/step_executor.h"
#include "litert/runtime/bound_run.h"

namespace litert_native::language {

// Everything is bound once per length of the caches: a step writes a token, its position and one
// element of the mask, and reads the logits. One thread at a time.
class LiteRtExecutor final : public StepExecutor {
 public:
  // Starts without caches; reserve() makes them.
  explicit LiteRtExecutor(std::shared_ptr<LanguageModel> model);
  // At one fixed length, with empty caches. `model` must outlive it.
  LiteRtExecutor(LanguageModel& model, std::shared_ptr<SharedCompiled> shared, int32_t length);

  [[nodiscard]] size_t vocab_size() const override { return model_->layout().vocab_size; }
  [[nodiscard]] size_t context_length() const override { return model_->context_length(); }
  void reserve(size_t num_tokens, size_t num_expected, size_t num_used) override;
  size_t prefill(std::span<const int32_t> ids, size_t position, size_t num_expected,
                 const Interrupt& interrupt) override;
  std::span<float> step(int32_t id, size_t position) override;

  // Reads up to `signature`'s number of tokens at once. Padded rows must lie in the caches too.
  void run_prefill(size_t signature, std::span<const int32_t> ids, size_t position);

 private:
  // A signature with its tensors, all in memory of this context.
  struct SignatureRun {
    const SignatureRoles* roles = nullptr;
    std::unique_ptr<runtime::BoundRun> run;
    std::span<int32_t> tokens;
    std::span<std::byte> embeddings;
    std::span<int32_t> positions;
    std::span<int32_t> parameters;
    std::optional<AttentionMask> mask;
    std::span<float> logits;
  };

  [[nodiscard]] bool is_at(int32_t length) const;
  void move_to(int32_t length, Prefills prefills, size_t num_used);
  void fit_chunk(const PrefillChunk& chunk, size_t position, const PrefillRoom& room);
  [[nodiscard]] SignatureRun bind(const SignatureRoles& roles);
  void read(SignatureRun& signature, std::span<const int32_t> ids, size_t position);
  [[nodiscard]] SignatureRun& prefill_run(size_t signature);
  // Returns the seconds it took.
  double run_once(SignatureRun& signature);

  std::shared_ptr<LanguageModel> owner_;
  LanguageModel* model_;
  std::shared_ptr<SharedCompiled> shared_;
  std::optional<KvCaches> caches_;
  std::vector<SignatureRun> prefills_;  // those that were used
  std::optional<SignatureRun> decode_;
};

}  // namespace litert_native::language
