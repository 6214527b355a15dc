// Memory that tensors are bound to: 64-byte aligned, with spare bytes behind it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace litert_native::runtime {

// What LiteRtCreateTensorBufferFromHostMemory demands; a constant of the library's ABI.
inline constexpr size_t kHostMemoryAlignment = 64;

// How far some kernels read behind an input's last byte (3x3 int8 convolutions of XNNPACK do).
inline constexpr size_t kKernelOverread = 16;

// What our own memory has behind it: a whole cache line.
inline constexpr size_t kSpareBytes = 64;

// The address is fixed; the contents belong to whoever runs or writes. Kept alive by every view.
class TensorMemory {
 public:
  enum class Use {
    kInput,   // kernels may read into the spare bytes
    kOutput,  // nothing may be touched behind the last byte
  };

  // Zeroed memory of our own. With the environment variable LITERT_GUARD_BUFFERS=1 an inaccessible
  // page lies right behind it (behind the spare bytes of an input), so that a stray access ends the
  // process where it happens.
  static std::shared_ptr<TensorMemory> allocate(size_t size_bytes, Use use);
  // Somebody else's memory; `owner` keeps it alive.
  static std::shared_ptr<TensorMemory> borrow(std::span<std::byte> bytes,
                                              std::shared_ptr<void> owner);

  TensorMemory(std::span<std::byte> bytes, std::span<const std::byte> canary,
               std::shared_ptr<void> owner);
  TensorMemory(const TensorMemory&) = delete;
  TensorMemory& operator=(const TensorMemory&) = delete;

  [[nodiscard]] std::byte* data() const { return bytes_.data(); }
  [[nodiscard]] size_t size_bytes() const { return bytes_.size(); }
  // Whether nobody has written behind the last byte of an output; true where that cannot be told.
  [[nodiscard]] bool is_intact() const;

 private:
  std::span<std::byte> bytes_;
  std::span<const std::byte> canary_;
  std::shared_ptr<void> owner_;
};

}  // namespace litert_native::runtime
