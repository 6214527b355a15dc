// Packed weights that several processes use, and what somebody else does to their file meanwhile.
// Processes are forked before anything is loaded, and end with 0 where all held.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cache_files.h"
#include "check.h"
#include "files.h"
#include "litert/runtime/bound_run.h"
#include "litert/runtime/cached_compile.h"
#include "litert/runtime/library.h"
#include "litert/runtime/mapping_guard.h"

namespace {

using namespace litert_native::runtime;  // NOLINT: everything here is about it
using litert_native::tests::Folder;
using litert_native::tests::read_file;
using litert_native::tests::write;
namespace fs = std::filesystem;

constexpr int kSkipped = 77;
constexpr char kModel[] = "mlp.tflite";
constexpr float kFirstWeight = 1.6243454F;  // of `kModel`

using Bytes = std::vector<std::byte>;

// A process of its own that runs `body`.
class Process {
 public:
  explicit Process(const std::function<void()>& body) : id_(::fork()) {
    if (id_ == 0) {
      body();
      std::_Exit(EXIT_SUCCESS);
    }
    CHECK(id_ > 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // What waitpid() tells: 0, an exit status, or the signal that ended it.
  int wait() const {
    int status = -1;
    CHECK(::waitpid(id_, &status, 0) == id_);
    return status;
  }

 private:
  pid_t id_;
};

// One side says that it is so far, the other waits for that.
class Step {
 public:
  Step() { CHECK(::pipe(ends_.data()) == 0); }
  ~Step() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  void done() { CHECK(::write(ends_[1], "x", 1) == 1); }
  void wait() {
    char byte = 0;
    CHECK(::read(ends_[0], &byte, 1) == 1);
  }

 private:
  std::array<int, 2> ends_{};
};

CachedCompile load(const Folder& folder, const Bytes& bytes) {
  open_library(std::getenv("LITERT_LIBRARY"));
  const auto kept = std::make_shared<Bytes>(bytes);
  return compile_cached(Model::load(FileMapping::borrow(*kept, kept)), nullptr, {},
                        folder.path().string());
}

std::vector<float> run(const std::shared_ptr<CompiledModel>& compiled) {
  const std::unique_lock lock(compiled->mutex());
  BoundRun bound(compiled, 0, {{1, 8}});
  float* const input = reinterpret_cast<float*>(bound.input_memory(0)->data());
  for (int i = 0; i < 8; ++i) {
    input[i] = 0.25F * static_cast<float>(i) - 1;
  }
  bound.run();
  const float* const output = reinterpret_cast<const float*>(bound.output_memory(0)->data());
  return {output, output + 3};
}

std::vector<float> expected(const Bytes& bytes) {
  const auto model = Model::load(FileMapping::borrow(bytes, nullptr));
  return run(CompiledModel::compile(model, {}));
}

// The same graph with another weight.
Bytes twin_of(Bytes bytes) {
  std::array<std::byte, sizeof(float)> pattern{};
  std::memcpy(pattern.data(), &kFirstWeight, sizeof(float));
  const auto found = std::search(bytes.begin(), bytes.end(), pattern.begin(), pattern.end());
  CHECK(found != bytes.end());
  *(found + 3) ^= std::byte{0x80};
  return bytes;
}

void build(const Folder& folder, const Bytes& bytes) {
  CHECK(Process([&] { CHECK(load(folder, bytes).use == CacheUse::kBuilt); }).wait() == 0);
}

fs::path weights_file(const Folder& folder) {
  const std::vector<fs::path> files = folder.with_suffix(".weights");
  CHECK(files.size() == 1);
  return files.front();
}

void overwrite(const fs::path& file, std::byte value) {
  const Bytes bytes(fs::file_size(file), value);
  fs::permissions(file, fs::perms::owner_all);
  const Descriptor opened(::open(file.c_str(), O_WRONLY));
  CHECK(::write(opened.value(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

void cut(const fs::path& file) { CHECK(::truncate(file.c_str(), 0) == 0); }

// What `harm` does to the file while a process uses it changes nothing there.
void check_unharmed_by(const std::function<void(const fs::path&)>& harm) {
  const Folder folder;
  const Bytes model = read_file(kModel);
  build(folder, model);
  Step loaded;
  Step harmed;
  const Process user([&] {
    const CachedCompile cached = load(folder, model);
    CHECK(cached.use == CacheUse::kReused);
    loaded.done();
    harmed.wait();
    CHECK(run(cached.compiled) == expected(model));
  });
  loaded.wait();
  harm(weights_file(folder));
  harmed.done();
  CHECK(user.wait() == 0);
}

// Two models over the file, one of which is gone when it happens, and a fork with both.
void every_mapping_of_a_process_and_its_child_is_kept() {
  const Folder folder;
  const Bytes model = read_file(kModel);
  build(folder, model);
  Step loaded;
  Step harmed;
  const Process user([&] {
    CachedCompile first = load(folder, model);
    CachedCompile second = load(folder, model);
    CachedCompile third = load(folder, model);
    const std::vector<float> before = run(second.compiled);
    third.compiled->close();
    const Process child([&] {
      second.compiled.reset();
      loaded.done();
      harmed.wait();
      CHECK(run(first.compiled) == before);
      first.compiled.reset();
    });
    loaded.done();
    harmed.wait();
    CHECK(run(second.compiled) == before);
    first.compiled.reset();
    CHECK(run(second.compiled) == before);
    CHECK(child.wait() == 0);
  });
  loaded.wait();
  loaded.wait();
  cut(weights_file(folder));
  harmed.done();
  harmed.done();
  CHECK(user.wait() == 0);
}

// A child that outlives its parent neither loses the weights nor keeps writers out.
void a_child_without_its_parent_keeps_its_weights() {
  const Folder folder;
  const Bytes model = read_file(kModel);
  build(folder, model);
  Step loaded;
  Step harmed;
  Step checked;
  const Process user([&] {
    const CachedCompile cached = load(folder, model);
    const std::vector<float> before = run(cached.compiled);
    if (::fork() == 0) {
      loaded.done();
      harmed.wait();
      CHECK(run(cached.compiled) == before);
      checked.done();
    }
  });
  loaded.wait();
  CHECK(user.wait() == 0);
  cut(weights_file(folder));
  harmed.done();
  checked.wait();
}

void weights_of_a_model_with_the_same_graph_are_not_taken() {
  const Folder folder;
  const Bytes model = read_file(kModel);
  const Bytes twin = twin_of(model);
  build(folder, model);
  const fs::path file = weights_file(folder);
  fs::rename(file, folder.path() / "aside");
  build(folder, twin);
  fs::rename(weights_file(folder), file);
  const Process user([&] {
    const CachedCompile cached = load(folder, model);
    CHECK(cached.use == CacheUse::kBuilt);
    CHECK(run(cached.compiled) == expected(model));
    CHECK(run(cached.compiled) != expected(twin));
  });
  CHECK(user.wait() == 0);
}

void weights_damaged_in_place_are_built_again() {
  const Bytes model = read_file(kModel);
  for (const bool is_cut : {false, true}) {
    const Folder folder;
    build(folder, model);
    is_cut ? cut(weights_file(folder)) : overwrite(weights_file(folder), std::byte{0x55});
    const Process user([&] {
      const CachedCompile cached = load(folder, model);
      CHECK(cached.use == CacheUse::kBuilt);
      CHECK(run(cached.compiled) == expected(model));
    });
    CHECK(user.wait() == 0);
  }
}

void weights_open_for_writing_are_not_used() {
  const Folder folder;
  const Bytes model = read_file(kModel);
  build(folder, model);
  fs::permissions(weights_file(folder), fs::perms::owner_all);
  const Descriptor writer(::open(weights_file(folder).c_str(), O_RDWR | O_CLOEXEC));
  const Process user([&] { CHECK(load(folder, model).use == CacheUse::kBuilt); });
  CHECK(user.wait() == 0);
}

void processes_that_build_at_once_make_one_file() {
  const Folder folder;
  const Bytes model = read_file(kModel);
  Step start;
  std::vector<std::unique_ptr<Process>> users;
  for (int i = 0; i < 8; ++i) {
    users.push_back(std::make_unique<Process>([&] {
      open_library(std::getenv("LITERT_LIBRARY"));
      start.wait();
      const CachedCompile cached = load(folder, model);
      CHECK(cached.use != CacheUse::kFailed && cached.use != CacheUse::kNone);
      CHECK(run(cached.compiled) == expected(model));
    }));
  }
  for (size_t i = 0; i < users.size(); ++i) {
    start.done();
  }
  for (const std::unique_ptr<Process>& user : users) {
    CHECK(user->wait() == 0);
  }
  CHECK(folder.with_suffix(".weights").size() == 1);
  CHECK(folder.with_suffix(".tmp").empty());
}

void a_full_disk_leaves_no_file() {
  const Folder folder;
  fs::create_directory(folder.path());
  if (::mount("none", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    std::fprintf(stderr, "a full disk is not tried: mounting is not allowed here\n");
    return;
  }
  write(folder.path() / "filling", std::string(1 << 20, 'x'));
  const Process user([&] {
    const Bytes model = read_file(kModel);
    const CachedCompile cached = load(folder, model);
    CHECK(cached.use == CacheUse::kFailed);
    CHECK(litert_native::tests::contains(cached.reason, "No space left on device"));
    CHECK(run(cached.compiled) == expected(model));
  });
  const int status = user.wait();
  const bool is_clean =
      folder.with_suffix(".weights").empty() && folder.with_suffix(".tmp").empty();
  ::umount(folder.path().c_str());
  CHECK(status == 0);
  CHECK(is_clean);
}

bool has_leases(const Folder& folder) {
  write(folder.path() / "leased", "x");
  bool is_active = false;
  const Process process([&] {
    const Descriptor file(::open((folder.path() / "leased").c_str(), O_RDONLY));
    CHECK(MappingGuard::take(file.value())->is_active());
  });
  is_active = process.wait() == 0;
  fs::remove(folder.path() / "leased");
  return is_active;
}

}  // namespace

int main() {
  if (std::getenv("LITERT_LIBRARY") == nullptr) {
    return kSkipped;
  }
  weights_of_a_model_with_the_same_graph_are_not_taken();
  weights_damaged_in_place_are_built_again();
  processes_that_build_at_once_make_one_file();
  a_full_disk_leaves_no_file();
  const auto remove = [](const fs::path& file) { fs::remove(file); };
  check_unharmed_by(remove);
  {
    const Folder folder;
    fs::create_directory(folder.path());
    if (!has_leases(folder)) {
      std::fprintf(stderr, "writers are not tried: no leases on this file system\n");
      return 0;
    }
  }
  check_unharmed_by(cut);
  check_unharmed_by([](const fs::path& file) { overwrite(file, std::byte{0}); });
  every_mapping_of_a_process_and_its_child_is_kept();
  a_child_without_its_parent_keeps_its_weights();
  weights_open_for_writing_are_not_used();
}
