#include "litert/runtime/file_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
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

// Up to this size a copy costs less than mapping, faulting in and unmapping.
constexpr size_t kReadLimit = 64 * 1024;

[[noreturn]] void throw_errno(const std::string& path) {
  throw StatusError(kFileIo, path + ": " + std::strerror(errno));
}

std::shared_ptr<const FileMapping> read(int descriptor, size_t size, const std::string& path) {
  const std::shared_ptr<std::vector<std::byte>> content =
      std::make_shared<std::vector<std::byte>>(size);
  size_t filled = 0;
  while (filled < size) {
    const ssize_t count =
        ::pread(descriptor, content->data() + filled, size - filled, static_cast<off_t>(filled));
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

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_nsec};
}

}  // namespace

std::string hash_of(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  std::array<char, 33> text{};
  std::snprintf(text.data(), text.size(), "%016llx%016llx",
                static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text.data();
}

std::shared_ptr<const FileMapping> FileMapping::open(const std::string& path) {
  return OpenFile::open(path)->map();
}

std::shared_ptr<const FileMapping> FileMapping::section(
    const std::shared_ptr<const FileMapping>& whole, uint64_t offset, uint64_t size) {
  const std::span<const std::byte> bytes = whole->bytes();
  if (offset > bytes.size() || size > bytes.size() - offset) {
    throw StatusError(kInvalidFlatbuffer, "a section of " + std::to_string(size) +
                                              " bytes at offset " + std::to_string(offset) +
                                              " lies outside of the file of " +
                                              std::to_string(bytes.size()) + " bytes");
  }
  return std::make_shared<const FileMapping>(
      bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(size)), whole,
      whole->is_clean_mapping_);
}

std::shared_ptr<const FileMapping> FileMapping::borrow(std::span<const std::byte> bytes,
                                                       std::shared_ptr<const void> owner) {
  return std::make_shared<const FileMapping>(bytes, std::move(owner));
}

FileMapping::FileMapping(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                         bool is_clean_mapping)
    : bytes_(bytes), owner_(std::move(owner)), is_clean_mapping_(is_clean_mapping) {}

void FileMapping::release_pages() const {
  if (!is_clean_mapping_) {
    return;
  }
  // Whole pages inside of the bytes; MADV_DONTNEED of a private mapping drops changes, of which a
  // clean one has none.
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(bytes_.data());
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + bytes_.size()) / page * page;
  if (begin < end) {
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
}

const std::string& FileMapping::content_hash() const {
  std::call_once(hash_once_, [this] { hash_ = hash_of(bytes_); });
  return hash_;
}

std::optional<FileIdentity> identify(int descriptor) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  return FileIdentity{status.st_dev, status.st_ino, static_cast<uint64_t>(status.st_size),
                      nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

std::shared_ptr<const OpenFile> OpenFile::open(const std::string& path) {
  // Without blocking: a pipe would wait for its other end.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    throw_errno(path);
  }
  std::shared_ptr<OpenFile> file =
      std::make_shared<OpenFile>(path, descriptor, FileIdentity{});  // closes it from here on
  const std::optional<FileIdentity> identity = identify(descriptor);
  if (!identity.has_value()) {
    throw StatusError(kFileIo, path + ": not a regular file");
  }
  if (identity->size == 0) {
    throw StatusError(kInvalidFlatbuffer, path + ": the file is empty");
  }
  if (!std::in_range<size_t>(identity->size)) {
    throw StatusError(kFileIo, path + ": the file is larger than the memory of a 32-bit process");
  }
  file->identity_ = *identity;
  return file;
}

OpenFile::OpenFile(std::string path, int descriptor, FileIdentity identity)
    : path_(std::move(path)), descriptor_(descriptor), identity_(identity) {}

OpenFile::~OpenFile() { ::close(descriptor_); }

std::shared_ptr<const FileMapping> OpenFile::map() const {
  const size_t size = size_bytes();
  if (size <= kReadLimit) {
    return read(descriptor_, size, path_);
  }
  std::shared_ptr<void> mapped = map_with(PROT_READ);
  const std::byte* const first = static_cast<const std::byte*>(mapped.get());
  return std::make_shared<const FileMapping>(std::span(first, size), std::move(mapped),
                                             /*is_clean_mapping=*/true);
}

PrivateCopy OpenFile::map_private() const {
  std::shared_ptr<void> mapped = map_with(PROT_READ | PROT_WRITE);
  std::byte* const first = static_cast<std::byte*>(mapped.get());
  return {{first, size_bytes()}, std::move(mapped)};
}

std::shared_ptr<void> OpenFile::map_with(int protection) const {
  const size_t size = size_bytes();
  void* const address = ::mmap(nullptr, size, protection, MAP_PRIVATE, descriptor_, /*offset=*/0);
  if (address == MAP_FAILED) {
    throw_errno(path_);
  }
  return {address, [size](void* mapped) { ::munmap(mapped, size); }};
}

}  // namespace litert_native::runtime
