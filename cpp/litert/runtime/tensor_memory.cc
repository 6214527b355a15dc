#include "litert/runtime/tensor_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace litert_native::runtime {
namespace {

constexpr std::byte kCanary{0xA5};

constexpr size_t round_up(size_t size, size_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

bool is_guarded() {
  static const bool guarded = [] {
    const char* const value = std::getenv("LITERT_GUARD_BUFFERS");
    return value != nullptr && std::string_view(value) == "1";
  }();
  return guarded;
}

struct Block {
  std::byte* data;
  std::shared_ptr<void> owner;
};

Block allocate_plain(size_t total) {
  void* const address = std::aligned_alloc(kHostMemoryAlignment, total);
  if (address == nullptr) {
    throw std::bad_alloc();
  }
  return {static_cast<std::byte*>(address), std::shared_ptr<void>(address, std::free)};
}

// `total` bytes that end at an inaccessible page.
Block allocate_guarded(size_t total) {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t usable = round_up(total, page);
  void* const address =
      ::mmap(nullptr, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    throw std::bad_alloc();
  }
  std::shared_ptr<void> owner(address,
                              [size = usable + page](void* mapped) { ::munmap(mapped, size); });
  std::byte* const first = static_cast<std::byte*>(address);
  if (::mprotect(first + usable, page, PROT_NONE) != 0) {
    throw std::bad_alloc();
  }
  return {first + usable - total, std::move(owner)};
}

}  // namespace

std::shared_ptr<TensorMemory> TensorMemory::allocate(size_t size_bytes, Use use) {
  const size_t rounded = std::max(round_up(size_bytes, kHostMemoryAlignment), kHostMemoryAlignment);
  const bool has_spare = use == Use::kInput || !is_guarded();
  const size_t total = rounded + (has_spare ? kSpareBytes : 0);
  Block block = is_guarded() ? allocate_guarded(total) : allocate_plain(total);
  std::memset(block.data, 0, total);
  std::span<const std::byte> canary;
  if (use == Use::kOutput) {
    std::fill(block.data + size_bytes, block.data + total, kCanary);
    canary = {block.data + size_bytes, total - size_bytes};
  }
  return std::make_shared<TensorMemory>(std::span(block.data, size_bytes), canary,
                                        std::move(block.owner));
}

std::shared_ptr<TensorMemory> TensorMemory::borrow(std::span<std::byte> bytes,
                                                   std::shared_ptr<void> owner) {
  return std::make_shared<TensorMemory>(bytes, std::span<const std::byte>(), std::move(owner));
}

TensorMemory::TensorMemory(std::span<std::byte> bytes, std::span<const std::byte> canary,
                           std::shared_ptr<void> owner)
    : bytes_(bytes), canary_(canary), owner_(std::move(owner)) {}

bool TensorMemory::is_intact() const {
  return std::all_of(canary_.begin(), canary_.end(),
                     [](std::byte value) { return value == kCanary; });
}

}  // namespace litert_native::runtime
