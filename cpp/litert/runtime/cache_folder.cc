#include "litert/runtime/cache_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "litert/runtime/descriptor.h"
#include "litert/runtime/library.h"

namespace litert_native::runtime {
namespace {

constexpr size_t kMaxNoteBytes = 4096;
// File systems tell times in steps: of 4 or 10 ms with Linux before 6.13, of up to two seconds on
// FAT. A file that has changed in the last one can change again and look the same.
constexpr std::chrono::seconds kTimeStep(2);
constexpr size_t kMaxCpuBytes = 65536;  // of the first CPU, which is described first

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// Not a stream, which would bring the locales of the C++ library into the extension.
File open_file(const std::string& path, const char* mode) {
  return {std::fopen(path.c_str(), mode), &std::fclose};
}

// A pipe is not waited for: whoever has put it there may never write to it.
File open_to_read(const std::string& path) {
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  File file(descriptor.is_open() ? ::fdopen(descriptor.value(), "rb") : nullptr, &std::fclose);
  if (file != nullptr) {
    (void)descriptor.release();
  }
  return file;
}

// The first bytes of a file; none where it cannot be read.
std::string read_start(const std::string& path, size_t max_bytes) {
  const File file = open_to_read(path);
  std::string bytes(file != nullptr ? max_bytes : 0, '\0');
  if (file != nullptr) {
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file.get()));
  }
  return bytes;
}

// Lines of /proc/cpuinfo that tell what kernels are chosen by, of the first CPU.
std::string cpu_description() {
  const std::string text = read_start("/proc/cpuinfo", kMaxCpuBytes);
  std::string description;
  std::string_view rest = text;
  while (!rest.empty() && !rest.starts_with('\n')) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    for (const char* const key : {"flags", "Features", "model name", "CPU implementer", "CPU part",
                                  "cpu family", "model\t", "stepping"}) {
      if (line.starts_with(key)) {
        description.append(line).append("\n");
      }
    }
  }
  return description;
}

bool has_just_changed(const FileIdentity& identity) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return now - std::chrono::nanoseconds(identity.changed_ns) < kTimeStep;
}

// The library by its content: each environment has a copy of its own, and all can share.
std::string describe_machine() {
  return library().version + "\n" + FileMapping::open(library().path)->content_hash() + "\n" +
         cpu_description();
}

}  // namespace

std::shared_ptr<const CacheFolder> CacheFolder::open(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (path.find_first_of("\"\n") != std::string::npos ||
      (::mkdir(path.c_str(), S_IRWXU) != 0 && !std::filesystem::is_directory(path, error)) ||
      ::access(path.c_str(), W_OK | X_OK) != 0) {
    return nullptr;
  }
  return std::make_shared<const CacheFolder>(path);
}

std::optional<std::string> CacheFolder::read_note(const std::string& name) const {
  std::string note = read_start(path_of(name), kMaxNoteBytes);
  return note.empty() ? std::nullopt : std::optional(std::move(note));
}

void CacheFolder::write_note(const std::string& name, const std::string& text) const noexcept {
  static std::atomic<unsigned> counter = 0;
  try {
    const std::string temporary = path_of(name) + "." + std::to_string(::getpid()) + "." +
                                  std::to_string(counter.fetch_add(1)) + ".tmp";
    File file = open_file(temporary, "wbe");
    if (file == nullptr) {
      return;
    }
    const bool is_written = std::fwrite(text.data(), 1, text.size(), file.get()) == text.size();
    const bool is_closed = std::fclose(file.release()) == 0;
    if (!is_written || !is_closed || ::rename(temporary.c_str(), path_of(name).c_str()) != 0) {
      ::unlink(temporary.c_str());
    }
  } catch (const std::exception&) {
    // No memory for a path: the note is not written.
  }
}

std::string content_hash(const CacheFolder* folder, const OpenFile& file,
                         const FileMapping& mapping) {
  if (folder == nullptr) {
    return mapping.content_hash();
  }
  const FileIdentity& identity = file.identity();
  const std::string name =
      "digest-" + std::to_string(identity.device) + "-" + std::to_string(identity.inode);
  const std::string known = to_text(identity) + " ";
  if (const std::optional<std::string> note = folder->read_note(name);
      note.has_value() && note->starts_with(known)) {
    return note->substr(known.size());
  }
  // Asked before the file is read.
  const bool is_told_by_its_times = !has_just_changed(identity);
  const std::string& hash = mapping.content_hash();
  mapping.release_pages();  // of the weights; where they are packed already nobody reads them
  if (is_told_by_its_times) {
    folder->write_note(name, known + hash);
  }
  return hash;
}

const std::string& machine_hash() {
  static const std::string hash = [] {
    const std::string description = describe_machine();
    return hash_of(std::as_bytes(std::span(description)));
  }();
  return hash;
}

std::string to_text(const FileIdentity& identity) {
  return std::to_string(identity.device) + ' ' + std::to_string(identity.inode) + ' ' +
         std::to_string(identity.size) + ' ' + std::to_string(identity.modified_ns) + ' ' +
         std::to_string(identity.changed_ns);
}

}  // namespace litert_native::runtime
