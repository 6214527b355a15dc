#include "litert/runtime/weight_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <new>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

constexpr char kWeightsSuffix[] = ".weights";
constexpr char kSealSuffix[] = ".seal";
// All files together; the newest stays however large it is.
constexpr uint64_t kMaxBytes = uint64_t{8} << 30;
// From here on large pages are worth a second writing.
constexpr size_t kLargeFile = size_t{16} << 20;

}  // namespace

// Closes what it holds.
class WeightCache::Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (value_ >= 0) {
      ::close(value_);
    }
  }
  [[nodiscard]] int value() const { return value_; }
  [[nodiscard]] int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

namespace {

// A file's bytes, for reading; none where it cannot be mapped.
class MappedBytes {
 public:
  explicit MappedBytes(int descriptor) {
    const std::optional<FileIdentity> identity = identify(descriptor);
    if (identity.has_value() && identity->size > 0 && std::in_range<size_t>(identity->size)) {
      const size_t size = static_cast<size_t>(identity->size);
      void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, /*offset=*/0);
      if (address != MAP_FAILED) {
        bytes_ = {static_cast<const std::byte*>(address), size};
      }
    }
  }
  ~MappedBytes() {
    if (!bytes_.empty()) {
      ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    }
  }
  MappedBytes(const MappedBytes&) = delete;
  MappedBytes& operator=(const MappedBytes&) = delete;
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// False where not all could be written.
bool write_file(const std::string& path, std::span<const std::byte> bytes) {
  const int file =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
  bool is_written = file >= 0;
  while (is_written && !bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    is_written = written > 0;
    bytes = bytes.subspan(is_written ? static_cast<size_t>(written) : 0);
  }
  return file >= 0 && ::close(file) == 0 && is_written;
}

}  // namespace

WeightCache::WeightCache(std::shared_ptr<const CacheFolder> folder, const std::string& content_hash)
    : folder_(std::move(folder)), name_("weights-" + content_hash + "-" + machine_hash()) {}

std::shared_ptr<CompiledModel> WeightCache::compile(const CompileOptions& options,
                                                    const Compile& compile) const {
  CompileOptions completed = options;
  completed.weight_cache_descriptor = open_finished();
  if (completed.weight_cache_descriptor >= 0) {
    return compile(completed);  // the library closes the descriptor
  }
  Descriptor lock(::open(folder_->path_of(name_ + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC,
                         S_IRUSR | S_IWUSR));
  if (lock.value() < 0 || ::flock(lock.value(), LOCK_EX | LOCK_NB) != 0) {
    completed.weight_cache_path = kSharedMemoryWeights;
    return compile(completed);
  }
  // Another process may have finished between the look and the lock.
  completed.weight_cache_descriptor = open_finished();
  if (completed.weight_cache_descriptor >= 0) {
    return compile(completed);
  }
  // The lock makes the name ours; what a process left there that died is of no use.
  const std::string temporary = folder_->path_of(name_ + ".tmp");
  ::unlink(temporary.c_str());
  completed.weight_cache_path = temporary;
  std::shared_ptr<CompiledModel> compiled;
  try {
    compiled = compile(completed);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  publish(temporary, std::move(lock));
  return compiled;
}

// -1 where there is none that can be trusted.
int WeightCache::open_finished() const {
  const std::string path = folder_->path_of(name_ + kWeightsSuffix);
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.value() < 0) {
    return -1;
  }
  if (!is_sealed(file.value())) {
    return -1;
  }
  // The seal's time says when the weights were used last; their own belongs to their identity.
  ::utimensat(AT_FDCWD, folder_->path_of(name_ + kSealSuffix).c_str(), nullptr, 0);
  return file.release();
}

bool WeightCache::is_sealed(int descriptor) const {
  const std::optional<std::string> note = folder_->read_note(name_ + kSealSuffix);
  const std::optional<FileIdentity> identity = identify(descriptor);
  if (!note.has_value() || !identity.has_value()) {
    return false;
  }
  const std::string known = to_text(*identity) + " ";
  if (note->starts_with(known)) {
    return true;
  }
  // Copied, restored or touched: its bytes decide.
  const MappedBytes mapped(descriptor);
  const std::string hash = hash_of(mapped.bytes());
  if (!note->ends_with(" " + hash)) {
    return false;
  }
  seal(descriptor, hash);
  return true;
}

void WeightCache::seal(int descriptor, const std::string& hash) const {
  if (const std::optional<FileIdentity> identity = identify(descriptor)) {
    folder_->write_note(name_ + kSealSuffix, to_text(*identity) + " " + hash);
  }
}

void WeightCache::publish(const std::string& temporary, Descriptor lock) const {
  const std::string path = folder_->path_of(name_ + kWeightsSuffix);
  const Descriptor file(::open(temporary.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.value() < 0) {
    return;  // a model without weights to pack, or a full disk: the library went on without
  }
  std::string hash;
  size_t size = 0;
  {
    const MappedBytes mapped(file.value());
    hash = hash_of(mapped.bytes());
    size = mapped.bytes().size();
  }
  ::fchmod(file.value(), S_IRUSR);
  if (size == 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
    ::unlink(temporary.c_str());
    return;
  }
  // After the rename, which changes the file's ctime. Until the seal is there, nobody uses it.
  seal(file.value(), hash);
  bound_weight_files(*folder_, kMaxBytes, name_ + kWeightsSuffix);
  if (size >= kLargeFile) {
    std::thread([cache = *this, hash, held = std::move(lock)] {
      try {
        cache.replace_by_large_pages(hash);
      } catch (const std::bad_alloc&) {
        // The file stays as it is.
      }
    }).detach();
  }
}

// Writes the finished file anew in one go: the file system then keeps it in large pages, and it is
// mapped as such, which it is not the way the library writes it. Nothing depends on it: a process
// that ends meanwhile leaves the file that is there.
void WeightCache::replace_by_large_pages(const std::string& hash) const {
  const std::string path = folder_->path_of(name_ + kWeightsSuffix);
  const std::string copy = folder_->path_of(name_ + ".new");
  const Descriptor built(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const MappedBytes mapped(built.value());
  // Read first: from pages that are not mapped yet the kernel would copy in small pieces.
  if (hash_of(mapped.bytes()) != hash || !write_file(copy, mapped.bytes()) ||
      ::chmod(copy.c_str(), S_IRUSR) != 0 || ::rename(copy.c_str(), path.c_str()) != 0) {
    ::unlink(copy.c_str());
    return;
  }
  const Descriptor finished(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  seal(finished.value(), hash);
}

void bound_weight_files(const CacheFolder& folder, uint64_t max_bytes, const std::string& kept) {
  struct Entry {
    std::filesystem::path path;
    uint64_t size = 0;
    std::filesystem::file_time_type used;
  };
  std::vector<Entry> entries;
  uint64_t total = 0;
  std::error_code error;
  for (const std::filesystem::directory_entry& file :
       std::filesystem::directory_iterator(folder.path_of(""), error)) {
    if (file.path().extension() == kWeightsSuffix) {
      const std::filesystem::path seal =
          std::filesystem::path(file.path()).replace_extension(kSealSuffix);
      entries.push_back(
          {file.path(), file.file_size(error), std::filesystem::last_write_time(seal, error)});
      total += entries.back().size;
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& left, const Entry& right) { return left.used < right.used; });
  for (const Entry& entry : entries) {
    if (total <= max_bytes) {
      return;
    }
    if (entry.path.filename() != kept) {
      // A mapping that is in use stays valid.
      std::filesystem::remove(entry.path, error);
      std::filesystem::remove(std::filesystem::path(entry.path).replace_extension(kSealSuffix),
                              error);
      total -= entry.size;
    }
  }
}

}  // namespace litert_native::runtime
