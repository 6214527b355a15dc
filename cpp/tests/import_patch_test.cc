// Arguments: two libraries whose import tables stay writable, and one whose table does not.
#include "litert/runtime/import_patch.h"

#include <dlfcn.h>
#include <unistd.h>

#include "check.h"

namespace {

using litert_native::runtime::replace_import;

constexpr int kAnswer = -42;
constexpr int kSkipped = 77;

using AskParent = int (*)();

struct Opened {
  void* handle;
  AskParent ask_parent;
};

int answer() { return kAnswer; }

bool replace(const Opened& library, const char* symbol) {
  return replace_import(library.handle, symbol, reinterpret_cast<void*>(answer));
}

Opened open_library(const char* path, int mode) {
  void* const handle = dlopen(path, mode | RTLD_LOCAL);
  CHECK(handle != nullptr);
  void* const function = dlsym(handle, "ask_parent");
  CHECK(function != nullptr);
  return {handle, reinterpret_cast<AskParent>(function)};
}

void test_absent_symbol_is_told(const Opened& library) {
  CHECK(!replace(library, "getpp"));
  CHECK(!replace(library, "getppid_of_nobody"));
  CHECK(!replace(library, "ask_parent"));  // exported, not imported
  CHECK(library.ask_parent() == getppid());
}

void test_one_library_alone_is_patched(const Opened& patched, const Opened& other) {
  CHECK(replace(patched, "getppid"));
  CHECK(patched.ask_parent() == kAnswer);
  CHECK(other.ask_parent() == getppid());
  CHECK(getppid() != kAnswer);
  CHECK(replace(patched, "getppid"));  // again, to the same
  CHECK(patched.ask_parent() == kAnswer);
}

void test_import_not_yet_resolved_is_patched(const Opened& lazy) {
  CHECK(replace(lazy, "getppid"));
  CHECK(lazy.ask_parent() == kAnswer);
}

void test_read_only_table_is_left_alone(const Opened& sealed) {
  CHECK(!replace(sealed, "getppid"));
  CHECK(sealed.ask_parent() == getppid());
}

}  // namespace

int main(int argc, char** argv) {
  CHECK(argc == 4);
#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__)) && defined(__LP64__)
  const Opened first = open_library(argv[1], RTLD_NOW);
  const Opened second = open_library(argv[2], RTLD_LAZY);
  test_absent_symbol_is_told(first);
  test_one_library_alone_is_patched(first, second);
  dlclose(second.handle);
  test_import_not_yet_resolved_is_patched(open_library(argv[2], RTLD_LAZY));
  test_read_only_table_is_left_alone(open_library(argv[3], RTLD_NOW));
#else
  const Opened library = open_library(argv[1], RTLD_NOW);
  CHECK(!replace(library, "getppid"));
  CHECK(library.ask_parent() == getppid());
  return kSkipped;
#endif
}
