// The bytes of a model: a private read-only mapping of a file, or a borrowed buffer, with a content
// hash. Whatever is made from the bytes (a model, a section of a container) keeps it alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

namespace litert_native::runtime {

// XXH3-128 of the bytes as 32 hexadecimal digits, at memory speed. Not cryptographic.
[[nodiscard]] std::string hash_of(std::span<const std::byte> bytes);

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

  FileMapping(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
              bool is_clean_mapping = false);
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  // The `size` bytes from `offset` of `whole`, which is kept alive. Throws StatusError 501 if they
  // do not lie inside of it.
  static std::shared_ptr<const FileMapping> section(const std::shared_ptr<const FileMapping>& whole,
                                                    uint64_t offset, uint64_t size);

  // Lets the pages go that are in memory; what is read again comes back from the file. Of bytes
  // that are not mapped from a file nothing happens.
  void release_pages() const;

  // The hash of all bytes: the key of whatever is cached about this content. Computed on the first
  // call.
  [[nodiscard]] const std::string& content_hash() const;

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  bool is_clean_mapping_;  // pages of a file that nobody has changed
  mutable std::once_flag hash_once_;
  mutable std::string hash_;
};

// Bytes of a file that may be changed in memory: only pages that are written to are copied.
struct PrivateCopy {
  std::span<std::byte> bytes;
  std::shared_ptr<void> owner;
};

// What a file is, as far as its name and times tell: equal for the same unchanged file.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

// What `descriptor` refers to; nothing where it is no regular file.
[[nodiscard]] std::optional<FileIdentity> identify(int descriptor);

// An open file, so that it can be mapped again whatever has become of its name. Immutable.
class OpenFile {
 public:
  // Throws StatusError 500 (cannot be read, no regular file) or 501 (empty).
  static std::shared_ptr<const OpenFile> open(const std::string& path);

  OpenFile(std::string path, int descriptor, FileIdentity identity);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  [[nodiscard]] const FileIdentity& identity() const { return identity_; }
  [[nodiscard]] size_t size_bytes() const { return static_cast<size_t>(identity_.size); }
  [[nodiscard]] std::shared_ptr<const FileMapping> map() const;
  [[nodiscard]] PrivateCopy map_private() const;

 private:
  [[nodiscard]] std::shared_ptr<void> map_with(int protection) const;

  std::string path_;
  int descriptor_;
  FileIdentity identity_;
};

}  // namespace litert_native::runtime
