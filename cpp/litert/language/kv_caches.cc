#include "litert/language/kv_caches.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>
#include <span>

namespace litert_native::language {
namespace {

size_t product(runtime::Shape::const_iterator first, runtime::Shape::const_iterator last) {
  return std::accumulate(first, last, size_t{1}, [](size_t total, int32_t size) {
    return total * static_cast<size_t>(size);
  });
}

constexpr size_t round_up(size_t size, size_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

}  // namespace

runtime::Shape CacheShape::at(int32_t length) const {
  runtime::Shape shape = dimensions;
  shape[sequence_axis] = length;
  return shape;
}

KvCaches::KvCaches(const std::vector<CacheShape>& shapes, int32_t length) : length_(length) {
  std::vector<size_t> offsets;
  std::vector<size_t> sizes;
  for (const CacheShape& shape : shapes) {
    const auto axis = shape.dimensions.begin() + static_cast<std::ptrdiff_t>(shape.sequence_axis);
    Cache& cache = caches_.emplace_back();
    cache.num_rows = product(shape.dimensions.begin(), axis);
    cache.slot_bytes = product(axis + 1, shape.dimensions.end()) * shape.element_bytes;
    offsets.push_back(size_bytes_);
    sizes.push_back(cache.num_rows * cache.slot_bytes * static_cast<size_t>(length));
    size_bytes_ += round_up(sizes.back() + runtime::kSpareBytes, runtime::kHostMemoryAlignment);
  }
  size_bytes_ = std::max<size_t>(size_bytes_, 1);
  void* const address = ::mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    throw std::bad_alloc();
  }
  // Long contexts are read from end to end in each step. Where that is not to be had, nothing is
  // lost.
  ::madvise(address, size_bytes_, MADV_HUGEPAGE);
  arena_ = {address, [size = size_bytes_](void* mapped) { ::munmap(mapped, size); }};
  for (size_t i = 0; i < caches_.size(); ++i) {
    std::byte* const first = static_cast<std::byte*>(address) + offsets[i];
    caches_[i].memory = runtime::TensorMemory::borrow({first, sizes[i]}, arena_);
  }
}

void KvCaches::take_from(KvCaches other, size_t num_used) {
  for (size_t i = 0; i < caches_.size(); ++i) {
    const Cache& from = other.caches_[i];
    const Cache& to = caches_[i];
    const size_t from_stride = from.slot_bytes * static_cast<size_t>(other.length_);
    const size_t to_stride = to.slot_bytes * static_cast<size_t>(length_);
    for (size_t row = 0; row < to.num_rows; ++row) {
      std::memcpy(to.memory->data() + row * to_stride, from.memory->data() + row * from_stride,
                  num_used * to.slot_bytes);
    }
    release_pages(*from.memory);
  }
}

// Of the whole pages in it; zeros afterwards.
void KvCaches::release_pages(const runtime::TensorMemory& memory) {
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(memory.data());
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + memory.size_bytes()) / page * page;
  if (begin < end) {
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
}

void KvCaches::clear() {
  // Gives the pages back; the next touch finds zeros.
  if (::madvise(arena_.get(), size_bytes_, MADV_DONTNEED) != 0) {
    std::memset(arena_.get(), 0, size_bytes_);
  }
}

}  // namespace litert_native::language
