#include "litert/language/candidates.h"

#include <algorithm>
#include <array>

namespace litert_native::language {
namespace {

bool is_before(const Candidate& a, const Candidate& b) { return a.rank < b.rank; }

// The rank of the last that is kept. Narrows the entries down to those that share the leading
// digits of the rank sought, in `pool`, until they are few enough to sort: linear time also where
// all weights are alike.
uint64_t rank_reaching(std::span<const Candidate> entries, Candidate* pool, uint64_t weight) {
  constexpr size_t kFew = 128;
  constexpr int kDigitBits = 11;
  constexpr size_t kNumDigits = size_t{1} << kDigitBits;
  for (int shift = 64; entries.size() > kFew;) {
    shift = std::max(shift - kDigitBits, 0);
    const auto digit_of = [shift](const Candidate& entry) {
      return static_cast<size_t>(entry.rank >> shift) % kNumDigits;
    };
    std::array<uint64_t, kNumDigits> sums{};
    for (const Candidate& entry : entries) {
      sums[digit_of(entry)] += static_cast<uint64_t>(entry.weight);
    }
    size_t digit = 0;
    while (sums[digit] < weight) {
      weight -= sums[digit++];
    }
    size_t count = 0;
    for (const Candidate entry : entries) {
      pool[count] = entry;
      count += digit_of(entry) == digit ? 1 : 0;
    }
    entries = {pool, count};
  }
  if (entries.data() != pool) {
    std::copy(entries.begin(), entries.end(), pool);
  }
  std::sort(pool, pool + entries.size(), is_before);
  while (static_cast<uint64_t>(pool->weight) < weight) {
    weight -= static_cast<uint64_t>((pool++)->weight);
  }
  return pool->rank;
}

}  // namespace

Candidates::Candidates(size_t capacity)
    : entries_(std::make_unique_for_overwrite<Candidate[]>(capacity)),
      pool_(std::make_unique_for_overwrite<Candidate[]>(capacity)) {}

uint64_t Candidates::total_weight() const {
  uint64_t total = 0;
  for (size_t i = 0; i < size_; ++i) {
    total += static_cast<uint64_t>(entries_[i].weight);
  }
  return total;
}

// Without a branch, since which ids weigh enough is hard to predict.
uint64_t Candidates::add_heavy(std::span<const int32_t> weights, int32_t first_id, int32_t least) {
  Candidate* const entries = entries_.get() + size_;
  size_t count = 0;
  uint64_t total = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const int32_t id = first_id + static_cast<int32_t>(i);
    const bool is_kept = weights[i] >= least;
    entries[count] = {rank_by_weight(weights[i], id), id, weights[i]};
    count += is_kept ? 1 : 0;
    total += is_kept ? static_cast<uint64_t>(weights[i]) : 0;
  }
  size_ += count;
  return total;
}

void Candidates::keep_first(size_t count) {
  if (count < size_) {
    Candidate* const pool = pool_.get();
    std::copy(entries().begin(), entries().end(), pool);
    Candidate* const last = pool + count - 1;
    std::nth_element(pool, last, pool + size_, is_before);
    keep_up_to(last->rank);
  }
}

void Candidates::keep_reaching(uint64_t weight) {
  keep_up_to(rank_reaching(entries(), pool_.get(), weight));
}

int32_t Candidates::at(uint64_t target) const {
  size_t i = 0;
  while (static_cast<uint64_t>(entries_[i].weight) <= target) {
    target -= static_cast<uint64_t>(entries_[i++].weight);
  }
  return entries_[i].id;
}

void Candidates::keep_up_to(uint64_t rank) {
  keep_if([rank](const Candidate& entry) { return entry.rank <= rank; });
}

}  // namespace litert_native::language
