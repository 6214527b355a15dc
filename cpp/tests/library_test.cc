// Usage: library_test FOREIGN_LIBRARY, a shared object that loads and has none of the symbols.
#include "litert/runtime/library.h"

#include <string>

#include "check.h"

namespace {

using litert_native::runtime::is_library_open;
using litert_native::runtime::library;
using litert_native::runtime::open_library;
using litert_native::runtime::StatusError;
using litert_native::tests::contains;
using litert_native::tests::error_of;

StatusError open(const std::string& path) {
  return error_of([&] { (void)open_library(path); });
}

void test_a_missing_file_is_named() {
  const StatusError error = open("/nowhere/libLiteRt.so");
  CHECK(error.status() == 502);
  CHECK(contains(error.what(), "/nowhere/libLiteRt.so"));
}

void test_a_file_of_another_kind_is_refused() {
  const StatusError error = open("./add.tflite");
  CHECK(error.status() == 502);
  CHECK(contains(error.what(), "add.tflite"));
}

void test_a_missing_symbol_is_named(const std::string& foreign) {
  const StatusError error = open(foreign);
  CHECK(error.status() == 502);
  CHECK(contains(error.what(), "LiteRtCreateModelFromFd"));
  CHECK(contains(error.what(), "2.1.6"));
}

void test_nothing_is_open_after_failures() {
  CHECK(!is_library_open());
  CHECK(error_of([] { (void)library(); }).status() == 502);
}

}  // namespace

int main(int argc, char** argv) {
  CHECK(argc == 2);
  test_a_missing_file_is_named();
  test_a_file_of_another_kind_is_refused();
  test_a_missing_symbol_is_named(argv[1]);
  test_nothing_is_open_after_failures();
}
