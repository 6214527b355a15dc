// The memory of one context's caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "litert/runtime/compiled_model.h"
#include "litert/runtime/tensor_memory.h"

namespace litert_native::language {

// One cache at any length: its dimensions, of which `sequence_axis` stands for the length.
struct CacheShape {
  runtime::Shape dimensions;
  size_t sequence_axis = 0;
  size_t element_bytes = 0;

  [[nodiscard]] runtime::Shape at(int32_t length) const;
};

// All caches of one context at one length, zero where nothing has been written: slots that no token
// has filled yet are multiplied by zero, which only finite values survive. Fresh pages of one
// anonymous mapping, so that slots which are never written take no memory. One thread at a time.
class KvCaches {
 public:
  // Throws std::bad_alloc.
  KvCaches(const std::vector<CacheShape>& shapes, int32_t length);

  [[nodiscard]] int32_t length() const { return length_; }
  [[nodiscard]] size_t size() const { return caches_.size(); }
  [[nodiscard]] const std::shared_ptr<runtime::TensorMemory>& memory(size_t cache) const {
    return caches_[cache].memory;
  }

  // Takes over the first `num_used` slots of caches of the same shapes, whose memory goes as they
  // are copied: both at full size at once would be the most that a context ever takes.
  void take_from(KvCaches other, size_t num_used);
  // Zeroes everything.
  void clear();

 private:
  struct Cache {
    std::shared_ptr<runtime::TensorMemory> memory;
    size_t num_rows = 0;    // blocks that each hold `length` slots
    size_t slot_bytes = 0;  // of one slot in a row
  };

  static void release_pages(const runtime::TensorMemory& memory);

  int32_t length_;
  size_t size_bytes_ = 0;
  std::shared_ptr<void> arena_;
  std::vector<Cache> caches_;
};

}  // namespace litert_native::language
