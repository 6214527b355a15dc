// Counts what the program allocates. Included by one source of a program, since it replaces the
// global operators.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace litert_native::tests {

inline size_t num_allocations = 0;

}  // namespace litert_native::tests

// Not inlined: the compiler would miss the pairs of new and delete in them.
[[gnu::noinline]] void* operator new(size_t size) {
  ++litert_native::tests::num_allocations;
  if (void* const memory = std::aligned_alloc(16, (size + 15) / 16 * 16)) {
    return memory;
  }
  throw std::bad_alloc();
}

[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
