// Writes the mask input: which slots of the caches each row of a run may look at.
#pragma once

#include <cstddef>
#include <span>

#include "litert/c/litert_model_types.h"

namespace litert_native::language {

// Over memory of [1, 1, num_rows, length] in one of three types: float32 and float16 are added to
// the attention scores (0 keeps, a large negative number drops), in bool true keeps. Row r keeps
// the slots up to its own position. Remembers what it wrote, so that the next step of a generation
// changes one element.
class AttentionMask {
 public:
  // Throws StatusError 5 for any other type.
  AttentionMask(LiteRtElementType type, std::span<std::byte> memory, size_t num_rows,
                size_t length);

  // For rows at positions `first`, `first` + 1, ...; all below `length`.
  void write(size_t first);

 private:
  void fill(std::byte* row, size_t begin, size_t end, bool keep);

  LiteRtElementType type_;
  std::span<std::byte> memory_;
  size_t num_rows_;
  size_t length_;
  size_t element_bytes_;
  bool is_written_ = false;
  size_t first_ = 0;  // of the last write
};

}  // namespace litert_native::language
