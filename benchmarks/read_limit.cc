// The limit that memory sets: threads that read so many bytes once, and do nothing else. Built by
// native_build.py.
#include <sys/mman.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace {

struct Buffer {
  const uint64_t* words;
  size_t num_words;
};

uint64_t read_all(const uint64_t* words, size_t num_words) {
  // Several sums, so that no addition waits for the one before.
  uint64_t sums[32] = {};
  size_t i = 0;
  for (; i + 32 <= num_words; i += 32) {
    for (size_t lane = 0; lane < 32; ++lane) {
      sums[lane] += words[i + lane];
    }
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) {
    sum += part;
  }
  return sum;
}

}  // namespace

// Makes memory of its own with every page written; NULL where there is none. Never freed.
extern "C" void* read_limit_open(size_t size_bytes) {
  void* const memory =
      mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return nullptr;
  }
  std::memset(memory, 1, size_bytes);
  return new Buffer{static_cast<const uint64_t*>(memory), size_bytes / sizeof(uint64_t)};
}

// Returns the seconds of one pass over the memory: of `num_passes` on end, over their number.
extern "C" double read_limit_run(const void* opened, int num_threads, int num_passes) {
  const Buffer& buffer = *static_cast<const Buffer*>(opened);
  const size_t share = buffer.num_words / static_cast<size_t>(num_threads);
  std::atomic<uint64_t> sink = 0;
  std::barrier together(num_threads);
  const auto read_share = [&](size_t thread) {
    uint64_t sum = 0;
    for (int pass = 0; pass < num_passes; ++pass) {
      sum += read_all(buffer.words + thread * share, share);
      together.arrive_and_wait();
    }
    sink.fetch_add(sum, std::memory_order_relaxed);  // keeps the compiler from leaving it out
  };
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::jthread> others;
  for (int thread = 1; thread < num_threads; ++thread) {
    others.emplace_back(read_share, static_cast<size_t>(thread));
  }
  read_share(0);
  others.clear();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count() / num_passes;
}
