// A cache folder for a test, and files in it.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace litert_native::tests {

namespace fs = std::filesystem;

// Removed with its owner.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("litert-cache-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

  [[nodiscard]] std::vector<fs::path> with_suffix(const std::string& suffix) const {
    std::vector<fs::path> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
      if (entry.path().extension() == suffix) {
        found.push_back(entry.path());
      }
    }
    return found;
  }

 private:
  fs::path path_;
};

inline void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

}  // namespace litert_native::tests
