// Which prefill signatures read a prompt soonest.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

namespace litert_native::language {

// What one run takes, by signature and by the length of the caches that it looks at. Estimated at
// first, corrected by the runs themselves. Guarded by its own mutex.
class PrefillCosts {
 public:
  // `rows`: tokens that each prefill signature reads at once, ascending.
  explicit PrefillCosts(std::vector<size_t> rows);

  [[nodiscard]] const std::vector<size_t>& rows() const { return rows_; }

  void record_prefill(size_t signature, size_t length, double seconds);
  void record_step(size_t length, double seconds);

  // In units of one decode step over short caches.
  [[nodiscard]] double of_prefill(size_t signature, size_t length) const;
  [[nodiscard]] double of_step(size_t length) const;

 private:
  // Seconds over what was estimated.
  struct Entry {
    size_t num_runs = 0;
    double ratio = 0;
  };
  void record(Entry& entry, double ratio);

  std::vector<size_t> rows_;
  mutable std::mutex mutex_;  // of what follows
  std::vector<Entry> prefills_;
  Entry step_;
};

// The caches that a prompt is read into.
struct PrefillRoom {
  size_t capacity = 0;      // slots, once all is read
  bool is_resized = false;  // whether the first chunks can run at a shorter length
};

// At which length of the caches a chunk runs that ends at slot `end`: one that can hold it, or,
// where that is not worth a resize, the last one.
[[nodiscard]] size_t length_of_chunk(size_t end, const PrefillRoom& room);

// One run: a prefill signature, or nothing for a decode step.
struct PrefillChunk {
  std::optional<size_t> signature;
  size_t num_tokens = 0;  // of the prompt; the rest of the signature's rows is padding
};

// The cheapest way to read `num_tokens` tokens from `position` on. A padded row must lie inside of
// the caches too, as writes past their end are moved back over what is there.
[[nodiscard]] std::vector<PrefillChunk> plan_prefill(const PrefillCosts& costs, size_t num_tokens,
                                                     size_t position, const PrefillRoom& room);

}  // namespace litert_native::language
