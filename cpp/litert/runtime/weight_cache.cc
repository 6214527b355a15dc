#include "litert/runtime/weight_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "litert/runtime/mapping_guard.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

constexpr char kPrefix[] = "weights-";
constexpr char kWeightsSuffix[] = ".weights";
constexpr char kSealSuffix[] = ".seal";
// All files together; the newest stays however large it is.
constexpr uint64_t kMaxBytes = uint64_t{8} << 30;

// How XNNPACK's file starts. The index is at its end, and written last.
struct Header {
  uint64_t version;
  uint64_t index_offset;
  uint64_t index_size;
  uint64_t is_stale;
};

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

// What the library asks of a file before it takes it; it would build another one anew.
bool is_complete(std::span<const std::byte> weights) {
  Header header{};
  if (weights.size() < sizeof(header)) {
    return false;
  }
  std::memcpy(&header, weights.data(), sizeof(header));
  return header.version != 0 && header.is_stale == 0 && header.index_offset >= sizeof(header) &&
         header.index_offset <= weights.size() &&
         header.index_size == weights.size() - header.index_offset;
}

// In one go: the file system then keeps it in large pages, and it is mapped as such. 0, or an
// errno.
int write_file(const std::string& path, std::span<const std::byte> bytes) {
  ::unlink(path.c_str());
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file.is_open()) {
    return errno;
  }
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.value(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return written < 0 ? errno : ENOSPC;
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  if (::fchmod(file.value(), S_IRUSR) != 0 || ::close(file.release()) != 0) {
    return errno;
  }
  return 0;
}

std::string failure(const std::string& what, int error) {
  return what + ": " + std::generic_category().message(error);
}

std::string dependencies_hash(uint32_t xnnpack_flags) {
  if (xnnpack_flags == 0) {
    return machine_hash();
  }
  const std::string text = machine_hash() + " flags " + std::to_string(xnnpack_flags);
  return hash_of(std::as_bytes(std::span(text)));
}

CompileOptions in_memory(CompileOptions options) {
  options.weight_cache_path = kSharedMemoryWeights;
  return options;
}

// Whether both are of one open file, whose offset they share then.
bool is_duplicate(int descriptor, int original) {
  constexpr off_t kMark = 0x5EA1ED;
  const std::optional<FileIdentity> identity = identify(descriptor);
  return identity.has_value() && identity == identify(original) &&
         ::lseek(original, kMark, SEEK_SET) == kMark && ::lseek(descriptor, 0, SEEK_CUR) == kMark;
}

// The library closes what it is given.
CompileOptions with_descriptor(CompileOptions options, int descriptor) {
  options.weight_cache_descriptor = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return options.weight_cache_descriptor < 0 ? in_memory(std::move(options)) : options;
}

// Compiles with the file behind `descriptor`.
std::shared_ptr<CompiledModel> compile_with(int descriptor, const CompileOptions& options,
                                            const WeightCache::Compile& compile) {
  const CompileOptions completed = with_descriptor(options, descriptor);
  try {
    return compile(completed);
  } catch (...) {
    // What fails before XNNPACK has its turn (a delegate) leaves the duplicate open.
    const int given = completed.weight_cache_descriptor;
    if (given >= 0 && is_duplicate(given, descriptor)) {
      ::close(given);
    }
    throw;
  }
}

}  // namespace

// A file that can be trusted as long as its guard lives.
struct WeightCache::Finished {
  std::unique_ptr<MappingGuard> guard;
  Descriptor file;
};

WeightCache::WeightCache(std::shared_ptr<const CacheFolder> folder, const std::string& content_hash,
                         uint32_t xnnpack_flags)
    : folder_(std::move(folder)),
      name_(kPrefix + content_hash + "-" + dependencies_hash(xnnpack_flags)) {}

CachedCompile WeightCache::compile(const CompileOptions& options, const Compile& compile) const {
  if (!options.use_xnnpack) {
    return {compile(options), CacheUse::kNone, {}};
  }
  if (std::shared_ptr<CompiledModel> compiled = reuse(options, compile)) {
    return {std::move(compiled), CacheUse::kReused, {}};
  }
  const std::string path = folder_->path_of(name_ + ".lock");
  const Descriptor lock(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (!lock.is_open() || ::flock(lock.value(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return {compile(in_memory(options)), CacheUse::kInMemory, {}};
    }
    std::string reason = failure(path, errno);
    return {compile(in_memory(options)), CacheUse::kFailed, std::move(reason)};
  }
  // Another one may have finished between the look and the lock.
  if (std::shared_ptr<CompiledModel> compiled = reuse(options, compile)) {
    return {std::move(compiled), CacheUse::kReused, {}};
  }
  return build(options, compile);
}

// Null where there is no finished file.
std::shared_ptr<CompiledModel> WeightCache::reuse(const CompileOptions& options,
                                                  const Compile& compile) const {
  // A writer that comes from now on waits until the mapping is there, and replaced.
  const std::shared_lock maps = MappingGuard::hold_mappings();
  Finished finished = open_finished();
  if (!finished.file.is_open()) {
    return nullptr;
  }
  std::shared_ptr<CompiledModel> compiled = compile_with(finished.file.value(), options, compile);
  compiled->keep_guarded(std::move(finished.guard));
  return compiled;
}

// In memory of our own: the library ends the process where a disk is full, and keeps a file that it
// builds in open for writing, which nobody could hold a lease on.
CachedCompile WeightCache::build(const CompileOptions& options, const Compile& compile) const {
  const Descriptor memory(::memfd_create("litert-packed-weights", MFD_CLOEXEC));
  if (!memory.is_open()) {
    std::string reason = failure("memory to pack weights in", errno);
    return {compile(in_memory(options)), CacheUse::kFailed, std::move(reason)};
  }
  std::shared_ptr<CompiledModel> built = compile_with(memory.value(), options, compile);
  {
    const MappedBytes weights(memory.value());
    if (weights.bytes().empty()) {
      return {std::move(built), CacheUse::kNone, {}};
    }
    if (std::string reason = publish(weights.bytes()); !reason.empty()) {
      return {std::move(built), CacheUse::kFailed, std::move(reason)};
    }
  }
  // From the file, whose pages are everybody's: that memory is free again.
  try {
    if (std::shared_ptr<CompiledModel> compiled = reuse(options, compile)) {
      return {std::move(compiled), CacheUse::kBuilt, {}};
    }
  } catch (const StatusError&) {
    // What was built does as well.
  }
  return {std::move(built), CacheUse::kBuilt, {}};
}

// No file where there is none that can be trusted.
WeightCache::Finished WeightCache::open_finished() const {
  const std::string path = folder_->path_of(name_ + kWeightsSuffix);
  // Not waiting for a writer, if somebody has put a pipe there.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  // First guarded, then looked at: what is seen stays so.
  std::unique_ptr<MappingGuard> guard = file.is_open() ? MappingGuard::take(file.value()) : nullptr;
  if (guard == nullptr || !is_sealed(file.value())) {
    return {};
  }
  // The seal's time says when the weights were used last; their own belongs to their identity.
  ::utimensat(AT_FDCWD, folder_->path_of(name_ + kSealSuffix).c_str(), nullptr, 0);
  return {std::move(guard), std::move(file)};
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

// Behind a seal nobody looks at the bytes again, so it is for those that are there, and no writer
// comes between. False where they are others.
bool WeightCache::seal_unchanged(const std::string& path, const std::string& hash) const {
  const std::shared_lock maps = MappingGuard::hold_mappings();
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const std::unique_ptr<MappingGuard> guard =
      file.is_open() ? MappingGuard::take(file.value()) : nullptr;
  if (guard == nullptr || hash_of(MappedBytes(file.value()).bytes()) != hash) {
    return false;
  }
  seal(file.value(), hash);
  return true;
}

// To be called with the lock, which makes the names ours. Returns why it failed, if it did.
std::string WeightCache::publish(std::span<const std::byte> weights) const {
  const std::string path = folder_->path_of(name_ + kWeightsSuffix);
  if (!is_complete(weights)) {
    return path + ": the library left the packed weights incomplete";
  }
  const std::string hash = hash_of(weights);
  const std::string temporary = folder_->path_of(name_ + ".tmp");
  int error = write_file(temporary, weights);
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) {
    error = errno;
  }
  if (error != 0) {
    ::unlink(temporary.c_str());
    return failure(path, error);
  }
  // After the rename, which changes the file's ctime. Until the seal is there, nobody uses it.
  if (!seal_unchanged(path, hash)) {
    ::unlink(path.c_str());
    return path + ": somebody else has changed the packed weights meanwhile";
  }
  bound_weight_files(*folder_, kMaxBytes, name_ + kWeightsSuffix);
  return {};
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
    // In a folder that the user names, others may keep files of that suffix.
    if (file.path().extension() == kWeightsSuffix &&
        file.path().filename().string().starts_with(kPrefix)) {
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
