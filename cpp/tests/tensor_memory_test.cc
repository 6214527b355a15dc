// Run twice: as it is, and with LITERT_GUARD_BUFFERS=1.
#include "litert/runtime/tensor_memory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "check.h"

namespace {

using litert_native::runtime::kHostMemoryAlignment;
using litert_native::runtime::kKernelOverread;
using litert_native::runtime::TensorMemory;
using Use = TensorMemory::Use;

constexpr size_t kSizes[] = {1, 4, 63, 64, 65, 4095, 4096, 100'000};

// Not seen by the sanitizers or the optimizer: the reads and writes here are on purpose.
__attribute__((noinline, no_sanitize("address"))) void touch(volatile std::byte* address,
                                                             std::byte value) {
  *address = value;
}

// Whether writing at `address` ends the process; tried in a child.
bool is_inaccessible(std::byte* address) {
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) {
    ::close(STDERR_FILENO);  // a sanitizer would report what is expected here
    touch(address, std::byte{1});
    std::_Exit(EXIT_SUCCESS);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  return !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS;
}

void test_memory_is_aligned_and_zeroed() {
  for (const size_t size : kSizes) {
    for (const Use use : {Use::kInput, Use::kOutput}) {
      const std::shared_ptr<TensorMemory> memory = TensorMemory::allocate(size, use);
      CHECK(memory->size_bytes() == size);
      CHECK(reinterpret_cast<uintptr_t>(memory->data()) % kHostMemoryAlignment == 0);
      CHECK(std::all_of(memory->data(), memory->data() + size,
                        [](std::byte value) { return value == std::byte{0}; }));
    }
  }
}

void test_kernels_may_read_behind_an_input() {
  for (const size_t size : kSizes) {
    const std::shared_ptr<TensorMemory> input = TensorMemory::allocate(size, Use::kInput);
    const volatile std::byte* const end = input->data() + size;
    CHECK(end[kKernelOverread - 1] == std::byte{0});
  }
}

void test_a_write_behind_an_output_shows() {
  for (const size_t size : {size_t{1}, size_t{63}, size_t{65}}) {
    const std::shared_ptr<TensorMemory> output = TensorMemory::allocate(size, Use::kOutput);
    std::fill_n(output->data(), size, std::byte{0xFF});
    CHECK(output->is_intact());
    touch(output->data() + size, std::byte{0});
    CHECK(!output->is_intact());
  }
}

void test_borrowed_memory_keeps_its_owner() {
  const std::shared_ptr<std::vector<std::byte>> owner =
      std::make_shared<std::vector<std::byte>>(64);
  std::shared_ptr<TensorMemory> memory = TensorMemory::borrow(*owner, owner);
  CHECK(memory->data() == owner->data());
  CHECK(memory->is_intact());
  CHECK(owner.use_count() == 2);
  memory.reset();
  CHECK(owner.use_count() == 1);
}

// Right behind the last cache line of an output, and behind the spare bytes of an input.
void test_guard_page_lies_behind() {
  for (const size_t size : kSizes) {
    const size_t rounded =
        (size + kHostMemoryAlignment - 1) / kHostMemoryAlignment * kHostMemoryAlignment;
    const std::shared_ptr<TensorMemory> output = TensorMemory::allocate(size, Use::kOutput);
    CHECK(!is_inaccessible(output->data() + rounded - 1));
    CHECK(is_inaccessible(output->data() + rounded));
    const std::shared_ptr<TensorMemory> input = TensorMemory::allocate(size, Use::kInput);
    const size_t spare = litert_native::runtime::kSpareBytes;
    CHECK(!is_inaccessible(input->data() + rounded + spare - 1));
    CHECK(is_inaccessible(input->data() + rounded + spare));
  }
}

}  // namespace

int main() {
  test_memory_is_aligned_and_zeroed();
  test_kernels_may_read_behind_an_input();
  test_a_write_behind_an_output_shows();
  test_borrowed_memory_keeps_its_owner();
  if (std::getenv("LITERT_GUARD_BUFFERS") != nullptr) {
    test_guard_page_lies_behind();
  }
}
