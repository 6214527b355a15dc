// The tokens that a sampler's filters have left, and what the filters do to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace litert_native::language {

struct Candidate {
  uint64_t rank;  // what is kept first has the lower rank
  int32_t id;
  int32_t weight;
};

// Ranks in ascending order of `order`, then of the id; no two tokens have the same.
[[nodiscard]] constexpr uint64_t rank_of(uint32_t order, int32_t id) {
  return (uint64_t{order} << 32) | static_cast<uint32_t>(id);
}

// The heaviest first.
[[nodiscard]] constexpr uint64_t rank_by_weight(int32_t weight, int32_t id) {
  return rank_of(~static_cast<uint32_t>(weight), id);
}

// Entries stay in the order in which they came. One thread at a time. Allocates in its constructor
// only, and touches no more memory than its entries need.
class Candidates {
 public:
  explicit Candidates(size_t capacity);

  void clear() { size_ = 0; }
  void add(const Candidate& entry) { entries_[size_++] = entry; }
  // Adds, ranked by weight, those of the ids from `first_id` on that weigh at least `least`;
  // returns the sum of their weights.
  uint64_t add_heavy(std::span<const int32_t> weights, int32_t first_id, int32_t least);

  [[nodiscard]] std::span<Candidate> entries() { return {entries_.get(), size_}; }
  [[nodiscard]] uint64_t total_weight() const;

  // Keeps the first `count` by rank; all where there are fewer. `count` is 1 or more.
  void keep_first(size_t count);
  // Keeps the first by rank until their weights sum up to `weight`, which is at most the total.
  void keep_reaching(uint64_t weight);
  template <typename Predicate>
  void keep_if(Predicate is_kept) {
    size_t count = 0;
    for (size_t i = 0; i < size_; ++i) {
      const bool stays = is_kept(entries_[i]);
      entries_[count] = entries_[i];
      count += stays ? 1 : 0;
    }
    size_ = count;
  }

  // The id of the first entry at which the running sum of weights exceeds `target`, which is less
  // than the total.
  [[nodiscard]] int32_t at(uint64_t target) const;

 private:
  void keep_up_to(uint64_t rank);

  std::unique_ptr<Candidate[]> entries_;
  std::unique_ptr<Candidate[]> pool_;  // scratch of the selections
  size_t size_ = 0;
};

}  // namespace litert_native::language
