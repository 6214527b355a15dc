// A tensor buffer's memory for the time that it is locked.
#pragma once

#include <cstddef>
#include <span>

#include "litert/c/litert_tensor_buffer.h"

namespace litert_native::runtime {

// What a custom operator's kernel is given, on whichever device it lies.
class LockedBuffer {
 public:
  // Throws StatusError.
  LockedBuffer(LiteRtTensorBuffer buffer, LiteRtTensorBufferLockMode mode);
  ~LockedBuffer();
  LockedBuffer(const LockedBuffer&) = delete;
  LockedBuffer& operator=(const LockedBuffer&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] LiteRtElementType element_type() const { return type_.element_type; }
  [[nodiscard]] std::span<const int32_t> shape() const {
    return {type_.layout.dimensions, type_.layout.rank};
  }

 private:
  LiteRtTensorBuffer buffer_;
  LiteRtRankedTensorType type_{};
  std::span<std::byte> bytes_;
};

}  // namespace litert_native::runtime
