#include "litert/runtime/file_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "litert/runtime/status.h"

#define XXH_INLINE_ALL
// The vendored header is C; its casts are not ours to mend.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "xxhash.h"
#pragma GCC diagnostic pop

namespace litert_native::runtime {
namespace {

constexpr int kFileIo = 500;
constexpr int kInvalidFlatbuffer = 501;

// Opened without blocking: a pipe would wait for its other end.
class Descriptor {
 public:
  explicit Descriptor(const std::string& path)
      : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (value_ >= 0) {
      ::close(value_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int value() const { return value_; }

 private:
  int value_;
};

// Up to this size a copy costs less than mapping, faulting in and unmapping.
constexpr size_t kReadLimit = 64 * 1024;

[[noreturn]] void throw_errno(const std::string& path) {
  throw StatusError(kFileIo, path + ": " + std::strerror(errno));
}

std::shared_ptr<const FileMapping> read(const Descriptor& descriptor, size_t size,
                                        const std::string& path) {
  const std::shared_ptr<std::vector<std::byte>> content =
      std::make_shared<std::vector<std::byte>>(size);
  size_t filled = 0;
  while (filled < size) {
    const ssize_t count = ::read(descriptor.value(), content->data() + filled, size - filled);
    if (count < 0) {
      throw_errno(path);
    }
    if (count == 0) {
      break;
    }
    filled += static_cast<size_t>(count);
  }
  content->resize(filled);
  return FileMapping::borrow(*content, content);
}

}  // namespace

std::shared_ptr<const FileMapping> FileMapping::open(const std::string& path) {
  const Descriptor descriptor(path);
  struct stat status{};
  if (descriptor.value() < 0 || ::fstat(descriptor.value(), &status) != 0) {
    throw_errno(path);
  }
  if (!S_ISREG(status.st_mode)) {
    throw StatusError(kFileIo, path + ": not a regular file");
  }
  if (status.st_size == 0) {
    throw StatusError(kInvalidFlatbuffer, path + ": the file is empty");
  }
  const size_t size = static_cast<size_t>(status.st_size);
  if (size <= kReadLimit) {
    return read(descriptor, size, path);
  }
  void* const address =
      ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.value(), /*offset=*/0);
  if (address == MAP_FAILED) {
    throw_errno(path);
  }
  std::shared_ptr<const void> owner(address, [size](void* mapped) { ::munmap(mapped, size); });
  return borrow({static_cast<const std::byte*>(address), size}, std::move(owner));
}

std::shared_ptr<const FileMapping> FileMapping::borrow(std::span<const std::byte> bytes,
                                                       std::shared_ptr<const void> owner) {
  return std::make_shared<const FileMapping>(bytes, std::move(owner));
}

FileMapping::FileMapping(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
    : bytes_(bytes), owner_(std::move(owner)) {}

const std::string& FileMapping::content_hash() const {
  std::call_once(hash_once_, [this] {
    const XXH128_hash_t hash = XXH3_128bits(bytes_.data(), bytes_.size());
    std::array<char, 33> text{};
    std::snprintf(text.data(), text.size(), "%016llx%016llx",
                  static_cast<unsigned long long>(hash.high64),
                  static_cast<unsigned long long>(hash.low64));
    hash_ = text.data();
  });
  return hash_;
}

}  // namespace litert_native::runtime
