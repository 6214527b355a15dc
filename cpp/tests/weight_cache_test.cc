// The cache folder and packed weights in it. Needs the library for the weights; the rest does not.
#include "litert/runtime/weight_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "cache_files.h"
#include "check.h"
#include "files.h"
#include "litert/runtime/cache_folder.h"
#include "litert/runtime/cached_compile.h"
#include "litert/runtime/model.h"

namespace {

namespace fs = std::filesystem;

using litert_native::runtime::bound_weight_files;
using litert_native::runtime::CachedCompile;
using litert_native::runtime::CacheFolder;
using litert_native::runtime::CacheUse;
using litert_native::runtime::compile_cached;
using litert_native::runtime::CompiledModel;
using litert_native::runtime::CompileOptions;
using litert_native::runtime::content_hash;
using litert_native::runtime::FileMapping;
using litert_native::runtime::Model;
using litert_native::runtime::OpenFile;
using litert_native::runtime::StatusError;
using litert_native::runtime::WeightCache;
using litert_native::tests::contains;
using litert_native::tests::error_of;
using litert_native::tests::Folder;
using litert_native::tests::read_file;
using litert_native::tests::write;

constexpr char kModel[] = "mlp.tflite";

void folder_is_for_its_owner_alone() {
  const Folder folder;
  CHECK(CacheFolder::open((folder.path() / "inner").string()) != nullptr);
  struct stat status{};
  CHECK(::stat((folder.path() / "inner").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
}

void folder_that_cannot_be_used_is_none() {
  const Folder folder;
  fs::create_directory(folder.path());
  write(folder.path() / "file", "x");
  CHECK(CacheFolder::open((folder.path() / "file").string()) == nullptr);
  CHECK(CacheFolder::open((folder.path() / "file" / "inner").string()) == nullptr);
  CHECK(CacheFolder::open((folder.path() / "with\"quote").string()) == nullptr);
}

void notes_are_replaced_as_a_whole() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  CHECK(!cache->read_note("verdict").has_value());
  cache->write_note("verdict", "same");
  CHECK(cache->read_note("verdict") == "same");
  cache->write_note("verdict", "different");
  CHECK(cache->read_note("verdict") == "different");
  CHECK(folder.with_suffix(".tmp").empty());
}

std::string hash_with(const CacheFolder& folder, const std::string& file) {
  const auto opened = OpenFile::open(file);
  return content_hash(&folder, *opened, *opened->map());
}

void content_hash_is_remembered() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  CHECK(hash_with(*cache, kModel).size() == 32);
  std::vector<fs::path> notes;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder.path())) {
    notes.push_back(entry.path());
  }
  CHECK(notes.size() == 1);
  const std::string name = notes.front().filename().string();
  std::string note = cache->read_note(name).value();
  note.back() = '-';
  cache->write_note(name, note);
  CHECK(hash_with(*cache, kModel).back() == '-');
}

// The times of a file may be the same after the next change.
void content_hash_of_a_file_that_has_just_changed_is_not_remembered() {
  const Folder folder;
  const auto cache = CacheFolder::open((folder.path() / "cache").string());
  const std::string file = (folder.path() / "model").string();
  write(file, "one");
  const std::string first = hash_with(*cache, file);
  CHECK(fs::is_empty(folder.path() / "cache"));
  write(file, "two");  // as long as before
  CHECK(hash_with(*cache, file) != first);
  write(file, "one");
  CHECK(hash_with(*cache, file) == first);
}

void a_pipe_is_not_waited_for() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  CHECK(::mkfifo((folder.path() / "note").c_str(), 0600) == 0);
  CHECK(!cache->read_note("note").has_value());
}

void least_recently_used_files_go_first() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  for (const char* const name : {"weights-old", "weights-new", "weights-kept"}) {
    write(folder.path() / (std::string(name) + ".weights"), std::string(100, 'x'));
    write(folder.path() / (std::string(name) + ".seal"), "x");
  }
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(folder.path() / "weights-old.seal", now - std::chrono::hours(2));
  fs::last_write_time(folder.path() / "weights-kept.seal", now - std::chrono::hours(3));
  bound_weight_files(*cache, 250, "weights-kept.weights");
  CHECK(!fs::exists(folder.path() / "weights-old.weights"));
  CHECK(!fs::exists(folder.path() / "weights-old.seal"));
  CHECK(fs::exists(folder.path() / "weights-new.weights"));
  bound_weight_files(*cache, 0, "weights-kept.weights");
  CHECK(!fs::exists(folder.path() / "weights-new.weights"));
  CHECK(fs::exists(folder.path() / "weights-kept.weights"));
}

// The folder may be one in which somebody keeps other things.
void files_of_others_stay() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  write(folder.path() / "yolov3.weights", std::string(100, 'x'));
  bound_weight_files(*cache, 0, "");
  CHECK(fs::exists(folder.path() / "yolov3.weights"));
}

CachedCompile load(const std::shared_ptr<const CacheFolder>& cache, CompileOptions options = {}) {
  const std::shared_ptr<const Model> model = Model::load(FileMapping::open(kModel));
  const WeightCache weights(cache, model->mapping().content_hash(), options.xnnpack_flags);
  return weights.compile(options, [&](const CompileOptions& completed) {
    return CompiledModel::compile(model, completed);
  });
}

void weights_are_built_once_and_used_again() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  CHECK(load(cache).use == CacheUse::kBuilt);
  CHECK(folder.with_suffix(".weights").size() == 1);
  CHECK(folder.with_suffix(".tmp").empty());
  CHECK(load(cache).use == CacheUse::kReused);
}

void weights_that_were_changed_are_built_again() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  (void)load(cache);
  const fs::path file = folder.with_suffix(".weights").front();
  const std::vector<std::byte> good = read_file(file.string());
  for (const size_t flipped : {size_t{9}, good.size() / 2, good.size() - 1}) {
    std::vector<std::byte> bad = good;
    bad[flipped] ^= std::byte{0xFF};
    fs::remove(file);
    write(file, std::string(reinterpret_cast<const char*>(bad.data()), bad.size()));
    CHECK(load(cache).use == CacheUse::kBuilt);
    CHECK(read_file(file.string()) == good);
  }
  // Cut short, empty, and of another model altogether.
  for (const std::string& text :
       {std::string("LITE"), std::string(), std::string(good.size(), 'x')}) {
    fs::remove(file);
    write(file, text);
    CHECK(load(cache).use == CacheUse::kBuilt);
    CHECK(read_file(file.string()) == good);
  }
}

void weights_that_were_copied_are_taken_by_their_content() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  (void)load(cache);
  const fs::path file = folder.with_suffix(".weights").front();
  fs::copy(file, folder.path() / "copy");
  fs::rename(folder.path() / "copy", file);
  CHECK(load(cache).use == CacheUse::kReused);
  CHECK(load(cache).use == CacheUse::kReused);
}

void weights_without_a_seal_are_not_used() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  (void)load(cache);
  fs::remove(folder.with_suffix(".seal").front());
  CHECK(load(cache).use == CacheUse::kBuilt);
  CHECK(load(cache).use == CacheUse::kReused);
}

void weights_packed_with_other_flags_have_a_file_of_their_own() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  (void)load(cache);
  CompileOptions options;
  options.xnnpack_flags = 0x43;
  CHECK(load(cache, options).use == CacheUse::kBuilt);
  CHECK(folder.with_suffix(".weights").size() == 2);
  CHECK(load(cache, options).use == CacheUse::kReused);
  CHECK(load(cache).use == CacheUse::kReused);
}

void kernels_that_pack_nothing_keep_nothing() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  CompileOptions options;
  options.use_xnnpack = false;
  CHECK(load(cache, options).use == CacheUse::kNone);
  CHECK(folder.with_suffix(".weights").empty());
}

void many_loads_at_once_build_one_file() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  std::vector<std::thread> threads;
  std::vector<CachedCompile> loaded(8);
  for (size_t i = 0; i < loaded.size(); ++i) {
    threads.emplace_back([&, i] { loaded[i] = load(cache); });
  }
  size_t num_built = 0;
  for (size_t i = 0; i < loaded.size(); ++i) {
    threads[i].join();
    num_built += loaded[i].use == CacheUse::kBuilt ? 1 : 0;
    CHECK(loaded[i].compiled != nullptr);
    CHECK(loaded[i].use != CacheUse::kFailed);
  }
  CHECK(num_built == 1);
  CHECK(folder.with_suffix(".weights").size() == 1);
}

void a_failed_build_leaves_nothing() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  const WeightCache weights(cache, "0123");
  bool has_thrown = false;
  try {
    (void)weights.compile({}, [](const CompileOptions&) -> std::shared_ptr<CompiledModel> {
      throw std::runtime_error("no");
    });
  } catch (const std::runtime_error&) {
    has_thrown = true;
  }
  CHECK(has_thrown);
  CHECK(folder.with_suffix(".weights").empty());
  CHECK(folder.with_suffix(".tmp").empty());
}

size_t num_descriptors() {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

// What fails before XNNPACK has seen its options, which tell it to close a descriptor.
void a_failed_load_leaves_no_descriptor_open() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  const std::string hash = FileMapping::open(kModel)->content_hash();
  const auto fail = [&] {
    return error_of([&] {
      (void)WeightCache(cache, hash)
          .compile({}, [](const CompileOptions&) -> std::shared_ptr<CompiledModel> {
            throw StatusError(3, "no");
          });
    });
  };
  const size_t num_before = num_descriptors();
  CHECK(fail().status() == 3);  // which builds
  (void)load(cache);
  CHECK(fail().status() == 3);  // which would use the file
  CHECK(num_descriptors() == num_before);
}

// What the library would build anew: here a header that promises more than there is.
void an_incomplete_build_is_not_kept() {
  const Folder folder;
  const auto cache = CacheFolder::open(folder.path().string());
  const std::shared_ptr<const Model> model = Model::load(FileMapping::open(kModel));
  const CachedCompile half =
      WeightCache(cache, "0123").compile({}, [&](const CompileOptions& options) {
        const uint64_t header[] = {4, 128, 1000, 0};
        CHECK(::write(options.weight_cache_descriptor, header, sizeof(header)) == sizeof(header));
        ::close(options.weight_cache_descriptor);
        return CompiledModel::compile(model, {});
      });
  CHECK(half.use == CacheUse::kFailed);
  CHECK(half.compiled != nullptr);
  CHECK(contains(half.reason, "incomplete"));
  CHECK(folder.with_suffix(".weights").empty());
}

void files_are_remembered_by_content_and_models_in_memory_too() {
  const Folder folder;
  const std::string path = (folder.path() / "cache").string();
  const auto file = OpenFile::open(kModel);
  const auto mapped = Model::load(file->map());
  CHECK(compile_cached(mapped, file.get(), {}, path).use == CacheUse::kBuilt);
  CHECK(compile_cached(mapped, file.get(), {}, path).use == CacheUse::kReused);
  const auto bytes = std::make_shared<std::vector<std::byte>>(read_file(kModel));
  const auto borrowed = Model::load(FileMapping::borrow(*bytes, bytes));
  CHECK(compile_cached(borrowed, nullptr, {}, path).use == CacheUse::kReused);
  CHECK(compile_cached(borrowed, nullptr, {}, "").use == CacheUse::kNone);
}

// The library ends the process over weights in float16 that it is to keep.
void float16_is_packed_in_memory() {
  const Folder folder;
  const auto file = OpenFile::open(kModel);
  CompileOptions options;
  options.xnnpack_flags = 0x7;
  const CachedCompile cached =
      compile_cached(Model::load(file->map()), file.get(), options, folder.path().string());
  CHECK(cached.use == CacheUse::kFailed);
  CHECK(cached.compiled != nullptr);
  CHECK(contains(cached.reason, "float16"));
}

void a_folder_that_cannot_be_used_is_told() {
  const Folder folder;
  fs::create_directory(folder.path());
  write(folder.path() / "file", "x");
  const std::string path = (folder.path() / "file").string();
  const CachedCompile cached =
      compile_cached(Model::load(FileMapping::open(kModel)), nullptr, {}, path);
  CHECK(cached.use == CacheUse::kFailed);
  CHECK(cached.compiled != nullptr);
  CHECK(contains(cached.reason, path));
}

}  // namespace

int main() {
  folder_is_for_its_owner_alone();
  folder_that_cannot_be_used_is_none();
  notes_are_replaced_as_a_whole();
  content_hash_is_remembered();
  content_hash_of_a_file_that_has_just_changed_is_not_remembered();
  a_pipe_is_not_waited_for();
  least_recently_used_files_go_first();
  files_of_others_stay();
  const char* const library = std::getenv("LITERT_LIBRARY");
  if (library == nullptr) {
    return 77;
  }
  litert_native::runtime::open_library(library);
  weights_are_built_once_and_used_again();
  weights_that_were_changed_are_built_again();
  weights_that_were_copied_are_taken_by_their_content();
  weights_without_a_seal_are_not_used();
  weights_packed_with_other_flags_have_a_file_of_their_own();
  kernels_that_pack_nothing_keep_nothing();
  many_loads_at_once_build_one_file();
  a_failed_build_leaves_nothing();
  a_failed_load_leaves_no_descriptor_open();
  an_incomplete_build_is_not_kept();
  files_are_remembered_by_content_and_models_in_memory_too();
  float16_is_packed_in_memory();
  a_folder_that_cannot_be_used_is_told();
}
