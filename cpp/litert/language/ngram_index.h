// Which ids followed a sequence of ids before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace litert_native::language {

// Positions whose n - 1 preceding ids have the same hash are chained, newest first. One thread at a
// time. Allocates in its constructor and in reserve(), and where more ids come than were reserved.
class NgramIndex {
 public:
  // n of 0 remembers nothing.
  explicit NgramIndex(size_t n);

  void clear();
  void reserve(size_t num_ids);
  void add(int32_t id);

  // Calls `visit` with each id that followed the last n - 1 ids before; one may come repeatedly.
  template <typename Visit>
  void for_each_follower(Visit visit) const {
    if (n_ == 0 || ids_.size() < n_) {
      return;
    }
    const size_t context = n_ - 1;
    const std::span<const int32_t> last = std::span(ids_).last(context);
    for (int32_t at = heads_[slot_of(last)]; at != kNone; at = previous_[static_cast<size_t>(at)]) {
      const size_t position = static_cast<size_t>(at);
      if (is_same(last, std::span(ids_).subspan(position - context, context))) {
        visit(ids_[position]);
      }
    }
  }

 private:
  static constexpr int32_t kNone = -1;

  [[nodiscard]] static size_t slot_of(std::span<const int32_t> ids);
  [[nodiscard]] static bool is_same(std::span<const int32_t> a, std::span<const int32_t> b);

  size_t n_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> previous_;  // by position: the one before it in its chain
  std::vector<int32_t> heads_;     // by slot: the newest position of its chain
};

}  // namespace litert_native::language
