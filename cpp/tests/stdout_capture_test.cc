#include "litert/runtime/stdout_capture.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>
#include <thread>

#include "check.h"

namespace {

using litert_native::runtime::StdoutCapture;

constexpr char kOpenClLine[] = "INFO: Failed to load OpenCL library with dlopen: none\n";

// What comes out at descriptor 1 while `work` runs.
template <typename Work>
std::string printed_by(Work work) {
  std::fflush(stdout);
  std::FILE* const file = std::tmpfile();
  const int saved = ::dup(STDOUT_FILENO);
  CHECK(file != nullptr && ::dup2(::fileno(file), STDOUT_FILENO) >= 0);
  work();
  std::cout.flush();
  std::fflush(stdout);
  ::dup2(saved, STDOUT_FILENO);
  ::close(saved);
  std::string text(1 << 16, '\0');
  const ssize_t size = ::pread(::fileno(file), text.data(), text.size(), 0);
  CHECK(size >= 0);
  text.resize(static_cast<size_t>(size));
  std::fclose(file);
  return text;
}

void test_line_about_opencl_is_dropped() {
  const std::string printed = printed_by([] {
    const StdoutCapture capture;
    std::cout << kOpenClLine << std::flush;
  });
  CHECK(printed.empty());
}

void test_other_lines_come_out() {
  const std::string printed = printed_by([] {
    std::printf("before\n");
    {
      const StdoutCapture capture;
      std::printf("during\n");
      std::cout << kOpenClLine << "no end of line" << std::flush;
    }
    std::printf(" after\n");
  });
  CHECK(printed == "before\nduring\nno end of line after\n");
}

void test_captures_nest_in_several_threads() {
  const std::string printed = printed_by([] {
    const auto print_captured = [] {
      for (int i = 0; i < 200; ++i) {
        const StdoutCapture outer;
        const StdoutCapture inner;
        std::cout << kOpenClLine << std::flush;
        std::printf("x\n");
      }
    };
    std::thread other(print_captured);
    print_captured();
    other.join();
  });
  CHECK(printed.size() == 400 * 2);
}

// A program that becomes a daemon closes all that it does not know.
void test_descriptors_that_the_program_closes_are_not_used_again() {
  {
    const StdoutCapture capture;
  }
  const int first = ::dup(STDERR_FILENO);
  ::close(first);
  for (int descriptor = first; descriptor < first + 64; ++descriptor) {
    ::close(descriptor);
  }
  std::FILE* const file = std::tmpfile();
  CHECK(file != nullptr && std::fputs("kept", file) >= 0 && std::fflush(file) == 0);
  {
    const StdoutCapture capture;
  }
  CHECK(::lseek(::fileno(file), 0, SEEK_END) == 4);
  std::fclose(file);
}

}  // namespace

int main() {
#if defined(__GLIBC__)
  test_line_about_opencl_is_dropped();
  test_other_lines_come_out();
  test_captures_nest_in_several_threads();
  test_descriptors_that_the_program_closes_are_not_used_again();
  return 0;
#else
  return 77;
#endif
}
