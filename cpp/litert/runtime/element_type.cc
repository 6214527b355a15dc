#include "litert/runtime/element_type.h"

#include <cstdint>
#include <limits>

#include "litert/runtime/status.h"

namespace litert_native::runtime {

size_t size_bytes_of(LiteRtElementType type, std::span<const int32_t> shape) {
  constexpr int kUnsupported = 5;
  // Half of the address space leaves room for every rounding below.
  constexpr size_t kLimit = std::numeric_limits<size_t>::max() / 2 / 64;
  size_t count = 1;
  for (const int32_t dimension : shape) {
    if (dimension < 0 || (dimension > 0 && count > kLimit / static_cast<size_t>(dimension))) {
      throw StatusError(kUnsupported, "a tensor is too large to address");
    }
    count *= static_cast<size_t>(dimension);
  }
  return (count * bits_of(type) + 7) / 8;
}

}  // namespace litert_native::runtime
