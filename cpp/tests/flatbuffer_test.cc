#include "litert/runtime/flatbuffer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"

namespace {

using litert_native::runtime::flatbuffer::Buffer;
using litert_native::runtime::flatbuffer::FormatError;
using litert_native::runtime::flatbuffer::Table;

// A table with an int32 field 0 (value 7), a string field 1 ("ab"), and no field 2.
std::vector<std::byte> small_table() {
  std::vector<std::byte> bytes(40);
  const auto put = [&](size_t offset, auto value) {
    std::memcpy(bytes.data() + offset, &value, sizeof(value));
  };
  put(0, uint32_t{12});  // root table
  put(4, uint16_t{8});   // vtable: its size
  put(6, uint16_t{12});  // size of the table
  put(8, uint16_t{4});   // field 0
  put(10, uint16_t{8});  // field 1
  put(12, int32_t{8});   // table: back to its vtable
  put(16, int32_t{7});   // field 0
  put(20, uint32_t{8});  // field 1: forward to the string
  put(28, uint32_t{2});  // its length
  put(32, std::array{'a', 'b'});
  return bytes;
}

template <typename Call>
bool is_refused(Call call) {
  try {
    call();
  } catch (const FormatError&) {
    return true;
  }
  return false;
}

void test_fields_are_read() {
  const std::vector<std::byte> bytes = small_table();
  const Buffer buffer(bytes);
  const Table table = Table::root(buffer);
  CHECK(table.scalar<int32_t>(0, 0) == 7);
  CHECK(table.string(1) == "ab");
  CHECK(!table.has(2));
  CHECK(table.scalar<int32_t>(2, 5) == 5);
  CHECK(table.vector<int32_t>(2).size() == 0);
  CHECK(!table.has(1'000'000));
}

void test_offsets_outside_of_the_buffer_are_refused() {
  const auto refuses = [](size_t offset, auto value) {
    std::vector<std::byte> bytes = small_table();
    std::memcpy(bytes.data() + offset, &value, sizeof(value));
    const Buffer buffer(bytes);
    return is_refused([&] {
      const Table table = Table::root(buffer);
      (void)table.scalar<int32_t>(0, 0);
      (void)table.string(1);
    });
  };
  constexpr uint32_t kMax = std::numeric_limits<uint32_t>::max();
  CHECK(!refuses(16, int32_t{8}));
  CHECK(refuses(0, uint32_t{37}));                          // root half outside
  CHECK(refuses(0, kMax));                                  // root far outside
  CHECK(refuses(12, std::numeric_limits<int32_t>::max()));  // vtable before the buffer
  CHECK(refuses(12, std::numeric_limits<int32_t>::min()));  // vtable behind it
  CHECK(refuses(8, std::numeric_limits<uint16_t>::max()));  // field outside
  CHECK(refuses(20, kMax));                                 // string outside
  CHECK(refuses(28, uint32_t{9}));                          // string one byte too long
  CHECK(refuses(28, kMax));
}

void test_slices_do_not_overflow() {
  const std::vector<std::byte> bytes(8);
  const Buffer buffer(bytes);
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  CHECK(buffer.slice(8, 0).empty());
  CHECK(is_refused([&] { (void)buffer.slice(9, 0); }));
  CHECK(is_refused([&] { (void)buffer.slice(4, kMax); }));
  CHECK(is_refused([&] { (void)buffer.slice(kMax, 2); }));
  CHECK(is_refused([&] { (void)buffer.read<uint64_t>(1); }));
}

}  // namespace

int main() {
  test_fields_are_read();
  test_offsets_outside_of_the_buffer_are_refused();
  test_slices_do_not_overflow();
}
