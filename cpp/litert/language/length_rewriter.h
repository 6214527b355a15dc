// Another context length for a model file, by changing numbers in place.
//
// The length of the caches is part of the graph: of shapes, of constants that are shapes, of tables
// with an entry for each slot. The file keeps its size and its buffers their indices, so that
// packed weights that are kept by index stay valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "litert/language/length_analysis.h"

namespace litert_native::language {

enum class LengthUse {
  // No constant carries the length: inputs can be resized at run time instead, or the file
  // rewritten, to any length.
  kResizable,
  // The file can be rewritten; resized at run time, the graph fails.
  kRewritable,
  // The exported length only.
  kFixed,
};

// What has to be changed for another length. Immutable.
class LengthPlan {
 public:
  // Marks the dimension of the context from the caches on through all operators of `signatures`,
  // which are those of one length; other signatures keep theirs. A graph that does anything unknown
  // to that dimension is kFixed. Throws StatusError 501 for damaged bytes.
  [[nodiscard]] static LengthPlan analyse(std::span<const std::byte> file,
                                          std::span<const CachePorts> signatures, int32_t length);

  [[nodiscard]] LengthUse use() const { return use_; }
  // Why it is kFixed; empty otherwise.
  [[nodiscard]] const std::string& reason() const { return reason_; }
  // As exported.
  [[nodiscard]] int32_t length() const { return length_; }
  // The greatest that apply() takes: tables have no entries beyond the exported length.
  [[nodiscard]] int32_t max_length() const;
  // How many numbers and tables apply() changes.
  [[nodiscard]] size_t num_places() const { return changes_.places.size(); }
  [[nodiscard]] size_t num_tables() const { return changes_.tables.size(); }

  // Changes a private writable copy of the analysed file. Prefill signatures that read more tokens
  // than the new length must not be run. Throws StatusError 1 where the length is out of range or
  // `file` is not such a copy; the file is then unchanged.
  void apply(std::span<std::byte> file, int32_t new_length) const;

 private:
  LengthUse use_ = LengthUse::kFixed;
  std::string reason_;
  int32_t length_ = 0;
  size_t file_size_ = 0;
  LengthChanges changes_;
};

}  // namespace litert_native::language
