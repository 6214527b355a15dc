// The bytes of a model: a private read-only mapping of a file, or a borrowed buffer, with a content
// hash. Whatever is made from the bytes (a model, a section of a container) keeps it alive.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>

namespace litert_native::runtime {

// Immutable after construction; the hash is computed once, under a mutex.
//
// As with any mapping, a file that is truncated in place while it is mapped ends the process with
// SIGBUS; replace a model file by renaming a new one over it.
class FileMapping {
 public:
  // Maps `path`; a small file is read. Throws StatusError 500 (file cannot be read) or 501 (empty).
  static std::shared_ptr<const FileMapping> open(const std::string& path);
  // Borrows `bytes`; `owner` keeps them alive and unchanged.
  static std::shared_ptr<const FileMapping> borrow(std::span<const std::byte> bytes,
                                                   std::shared_ptr<const void> owner);

  FileMapping(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  // XXH3-128 of all bytes as 32 hexadecimal digits: the key of whatever is cached about this
  // content. Computed at memory speed on the first call. Not cryptographic.
  [[nodiscard]] const std::string& content_hash() const;

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  mutable std::once_flag hash_once_;
  mutable std::string hash_;
};

}  // namespace litert_native::runtime
