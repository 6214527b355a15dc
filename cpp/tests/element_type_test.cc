#include "litert/runtime/element_type.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "check.h"

namespace {

using litert_native::runtime::bits_of;
using litert_native::runtime::size_bytes_of;
using litert_native::tests::error_of;
using Shape = std::vector<int32_t>;

constexpr int32_t kMaxDimension = std::numeric_limits<int32_t>::max();

void test_sizes() {
  CHECK(size_bytes_of(kLiteRtElementTypeFloat32, Shape{}) == 4);
  CHECK(size_bytes_of(kLiteRtElementTypeFloat32, Shape{2, 3}) == 24);
  CHECK(size_bytes_of(kLiteRtElementTypeComplex64, Shape{5}) == 40);
  CHECK(size_bytes_of(kLiteRtElementTypeBool, Shape{7}) == 7);
  CHECK(size_bytes_of(kLiteRtElementTypeFloat32, Shape{2, 0, 3}) == 0);
}

void test_packed_types_round_up_to_whole_bytes() {
  CHECK(size_bytes_of(kLiteRtElementTypeInt4, Shape{3}) == 2);
  CHECK(size_bytes_of(kLiteRtElementTypeUInt4, Shape{4}) == 2);
  CHECK(size_bytes_of(kLiteRtElementTypeInt2, Shape{5}) == 2);
  CHECK(size_bytes_of(kLiteRtElementTypeInt2, Shape{}) == 1);
}

void test_types_without_host_memory_have_no_bits() {
  CHECK(bits_of(kLiteRtElementTypeTfString) == 0);
  CHECK(bits_of(kLiteRtElementTypeTfResource) == 0);
  CHECK(bits_of(kLiteRtElementTypeComplex128) == 0);
  CHECK(bits_of(kLiteRtElementTypeNone) == 0);
}

void test_sizes_that_overflow_are_refused() {
  for (const Shape& shape :
       {Shape{kMaxDimension, kMaxDimension, kMaxDimension}, Shape(8, kMaxDimension),
        Shape{1 << 30, 1 << 30, 16}, Shape{-1}, Shape{2, std::numeric_limits<int32_t>::min()}}) {
    CHECK(error_of([&] { (void)size_bytes_of(kLiteRtElementTypeFloat64, shape); }).status() == 5);
  }
  // As large as it gets without overflow.
  CHECK(size_bytes_of(kLiteRtElementTypeInt8, Shape{kMaxDimension, 1 << 20}) ==
        static_cast<size_t>(kMaxDimension) << 20);
}

}  // namespace

int main() {
  test_sizes();
  test_packed_types_round_up_to_whole_bytes();
  test_types_without_host_memory_have_no_bits();
  test_sizes_that_overflow_are_refused();
}
