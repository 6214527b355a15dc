#include "litert/runtime/file_mapping.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "check.h"

namespace {

using litert_native::runtime::FileMapping;
using litert_native::tests::contains;
using litert_native::tests::error_of;

// A folder that goes with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::array<char, 64> name{};
    std::strcpy(name.data(), "/tmp/litert_native_XXXXXX");
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name.data();
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] std::string write(const std::string& name, std::string_view text) const {
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name);
  }

 private:
  std::string path_;
};

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

void test_hash_is_xxh3_128() {
  const auto hash = [](std::string_view text) {
    return FileMapping::borrow(bytes_of(text), nullptr)->content_hash();
  };
  // By another implementation of XXH3-128 (the Python package xxhash).
  CHECK(hash("") == "99aa06d3014798d86001c324468d497f");
  CHECK(hash("litert") == "c90dd5c8b56ece4f8e6609cbdf641436");
  std::string pattern(4096, '\0');
  for (size_t i = 0; i < pattern.size(); ++i) {
    pattern[i] = static_cast<char>(i % 256);
  }
  CHECK(hash(pattern) == "03916578969f7a66eb4b7c3707879151");
}

void test_mapping_shows_the_file(const ScratchFolder& folder) {
  const std::string path = folder.write("some", "litert");
  const std::shared_ptr<const FileMapping> mapping = FileMapping::open(path);
  // Replaced by renaming, which the mapping does not see.
  std::filesystem::rename(folder.write("other", "replaced"), path);
  CHECK(mapping->bytes().size() == 6);
  CHECK(std::memcmp(mapping->bytes().data(), "litert", 6) == 0);
  CHECK(mapping->content_hash() ==
        FileMapping::borrow(bytes_of("litert"), nullptr)->content_hash());
}

void test_borrowed_bytes_keep_their_owner() {
  const std::shared_ptr<std::string> owner = std::make_shared<std::string>("litert");
  std::shared_ptr<const FileMapping> mapping = FileMapping::borrow(bytes_of(*owner), owner);
  CHECK(owner.use_count() == 2);
  mapping.reset();
  CHECK(owner.use_count() == 1);
}

void test_unreadable_paths_are_refused(const ScratchFolder& folder) {
  const auto open = [](const std::string& path) {
    return error_of([&] { (void)FileMapping::open(path); });
  };
  const std::string missing = folder.file("missing");
  CHECK(open(missing).status() == 500);
  CHECK(contains(open(missing).what(), missing));
  CHECK(open(folder.file(".")).status() == 500);
  CHECK(open("/dev/null").status() == 500);
  CHECK(open(folder.write("empty", "")).status() == 501);
}

void test_a_pipe_is_refused_without_waiting_for_its_writer(const ScratchFolder& folder) {
  const std::string path = folder.file("pipe");
  CHECK(::mkfifo(path.c_str(), 0600) == 0);
  ::alarm(10);  // ends the test with SIGALRM where opening blocks
  CHECK(error_of([&] { (void)FileMapping::open(path); }).status() == 500);
  ::alarm(0);
}

}  // namespace

int main() {
  const ScratchFolder folder;
  test_hash_is_xxh3_128();
  test_mapping_shows_the_file(folder);
  test_borrowed_bytes_keep_their_owner();
  test_unreadable_paths_are_refused(folder);
  test_a_pipe_is_refused_without_waiting_for_its_writer(folder);
}
