#include "litert/runtime/shared_mappings.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "litert/runtime/descriptor.h"

namespace litert_native::runtime {
namespace {

// One line of /proc/self/maps.
struct Mapping {
  uintptr_t start = 0;
  uintptr_t end = 0;
  uint64_t offset = 0;
  bool is_shared = false;
  std::string file;  // device and inode, as the kernel writes them there
};

// A mapping of our own, unmapped with its owner.
class Memory {
 public:
  Memory(size_t size, int protection, int flags, int descriptor)
      : address_(::mmap(nullptr, size, protection, flags, descriptor, /*offset=*/0)), size_(size) {}
  ~Memory() {
    if (is_mapped()) {
      ::munmap(address_, size_);
    }
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  [[nodiscard]] bool is_mapped() const { return address_ != MAP_FAILED; }
  [[nodiscard]] void* address() const { return address_; }
  // False where it stays where it is.
  bool move_to(uintptr_t start) {
    void* const wanted = reinterpret_cast<void*>(start);
    if (::mremap(address_, size_, size_, MREMAP_MAYMOVE | MREMAP_FIXED, wanted) == MAP_FAILED) {
      return false;
    }
    address_ = MAP_FAILED;
    return true;
  }

 private:
  void* address_;
  size_t size_;
};

std::optional<std::string> read_maps() {
  const Descriptor maps(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 16384> chunk{};
  ssize_t count = -1;
  while (maps.is_open() && (count = ::read(maps.value(), chunk.data(), chunk.size())) > 0) {
    text.append(chunk.data(), static_cast<size_t>(count));
  }
  return count == 0 ? std::optional(std::move(text)) : std::nullopt;
}

std::vector<Mapping> parse_maps(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty()) {
    const std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    unsigned long long start = 0;
    unsigned long long end = 0;
    unsigned long long offset = 0;
    unsigned long long inode = 0;
    std::array<char, 5> access{};
    std::array<char, 32> device{};
    if (std::sscanf(line.c_str(), "%llx-%llx %4s %llx %31s %llu", &start, &end, access.data(),
                    &offset, device.data(), &inode) == 6) {
      mappings.push_back({static_cast<uintptr_t>(start), static_cast<uintptr_t>(end), offset,
                          access[3] == 's',
                          std::string(device.data()) + " " + std::to_string(inode)});
    }
  }
  return mappings;
}

// Read and not copied from the mapping, which faults where the file is shorter by now.
bool replace(const Mapping& mapping, int descriptor) {
  const size_t size = mapping.end - mapping.start;
  Memory copy(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, /*descriptor=*/-1);
  if (!copy.is_mapped()) {
    return false;
  }
  size_t filled = 0;
  ssize_t count = 1;
  while (filled < size && count > 0) {
    count = ::pread(descriptor, static_cast<std::byte*>(copy.address()) + filled, size - filled,
                    static_cast<off_t>(mapping.offset + filled));
    filled += count > 0 ? static_cast<size_t>(count) : 0;
  }
  return count >= 0 && ::mprotect(copy.address(), size, PROT_READ) == 0 &&
         copy.move_to(mapping.start);
}

bool replace_all(int descriptor) {
  // What the kernel calls the file: not always what fstat() says (btrfs, overlays). A page of it
  // that is mapped here tells.
  const Memory page(1, PROT_READ, MAP_PRIVATE, descriptor);
  const std::optional<std::string> text = page.is_mapped() ? read_maps() : std::nullopt;
  if (!text.has_value()) {
    return false;
  }
  const std::vector<Mapping> mappings = parse_maps(*text);
  const uintptr_t ours = reinterpret_cast<uintptr_t>(page.address());
  std::string file;
  for (const Mapping& mapping : mappings) {
    if (mapping.start <= ours && ours < mapping.end) {
      file = mapping.file;
    }
  }
  bool is_replaced = !file.empty();
  for (const Mapping& mapping : mappings) {
    if (mapping.is_shared && mapping.file == file) {
      is_replaced = replace(mapping, descriptor) && is_replaced;
    }
  }
  return is_replaced;
}

}  // namespace

bool replace_shared_mappings(int descriptor) {
  try {
    return replace_all(descriptor);
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace litert_native::runtime
