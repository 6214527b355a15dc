// Sizes and names of the runtime's element types.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "litert/c/litert_model_types.h"

namespace litert_native::runtime {

// Bits of one value in memory; 0 for types that the compiled model cannot hold (strings, resources,
// complex128).
[[nodiscard]] constexpr size_t bits_of(LiteRtElementType type) {
  switch (type) {
    case kLiteRtElementTypeInt2:
      return 2;
    case kLiteRtElementTypeInt4:
    case kLiteRtElementTypeUInt4:
      return 4;
    case kLiteRtElementTypeBool:
    case kLiteRtElementTypeInt8:
    case kLiteRtElementTypeUInt8:
    case kLiteRtElementTypeFloat8E4M3FN:
    case kLiteRtElementTypeFloat8E5M2:
      return 8;
    case kLiteRtElementTypeInt16:
    case kLiteRtElementTypeUInt16:
    case kLiteRtElementTypeFloat16:
    case kLiteRtElementTypeBFloat16:
      return 16;
    case kLiteRtElementTypeInt32:
    case kLiteRtElementTypeUInt32:
    case kLiteRtElementTypeFloat32:
      return 32;
    case kLiteRtElementTypeInt64:
    case kLiteRtElementTypeUInt64:
    case kLiteRtElementTypeFloat64:
    case kLiteRtElementTypeComplex64:
      return 64;
    default:
      return 0;
  }
}

[[nodiscard]] constexpr std::string_view name_of(LiteRtElementType type) {
  switch (type) {
    case kLiteRtElementTypeTfString:
      return "string";
    case kLiteRtElementTypeComplex128:
      return "complex128";
    case kLiteRtElementTypeTfResource:
      return "resource";
    case kLiteRtElementTypeTfVariant:
      return "variant";
    default:
      return "unknown";
  }
}

// Bytes of a packed tensor. Throws StatusError 5 where the size does not fit into size_t.
[[nodiscard]] size_t size_bytes_of(LiteRtElementType type, std::span<const int32_t> shape);

}  // namespace litert_native::runtime
