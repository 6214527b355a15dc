#include "litert/runtime/cache_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "litert/runtime/library.h"

namespace litert_native::runtime {
namespace {

constexpr size_t kMaxNoteBytes = 4096;

// Lines of /proc/cpuinfo that tell what kernels are chosen by, of the first CPU.
std::string cpu_description() {
  std::ifstream file("/proc/cpuinfo");
  std::string description;
  for (std::string line; std::getline(file, line) && !line.empty();) {
    for (const char* const key : {"flags", "Features", "model name", "CPU implementer", "CPU part",
                                  "cpu family", "model\t", "stepping"}) {
      if (line.starts_with(key)) {
        description += line + "\n";
      }
    }
  }
  return description;
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
  std::ifstream file(path_of(name), std::ios::binary);
  std::array<char, kMaxNoteBytes> bytes{};
  file.read(bytes.data(), bytes.size());
  if (!file.is_open() || file.bad() || file.gcount() == 0) {
    return std::nullopt;
  }
  return std::string(bytes.data(), static_cast<size_t>(file.gcount()));
}

void CacheFolder::write_note(const std::string& name, const std::string& text) const noexcept {
  static std::atomic<unsigned> counter = 0;
  try {
    const std::string temporary = path_of(name) + "." + std::to_string(::getpid()) + "." +
                                  std::to_string(counter.fetch_add(1)) + ".tmp";
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    std::error_code error;
    if (file.good()) {
      std::filesystem::rename(temporary, path_of(name), error);
    }
    if (!file.good() || error) {
      std::filesystem::remove(temporary, error);
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
  folder->write_note(name, known + mapping.content_hash());
  return mapping.content_hash();
}

const std::string& machine_hash() {
  static const std::string hash = [] {
    const std::string description = describe_machine();
    return hash_of(std::as_bytes(std::span(description)));
  }();
  return hash;
}

std::string to_text(const FileIdentity& identity) {
  std::ostringstream text;
  text << identity.device << ' ' << identity.inode << ' ' << identity.size << ' '
       << identity.modified_ns << ' ' << identity.changed_ns;
  return text.str();
}

}  // namespace litert_native::runtime
