#include "litert/runtime/stdout_capture.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>

namespace litert_native::runtime {

#if defined(__GLIBC__)

namespace {

constexpr std::string_view kDropped = "INFO: Failed to load OpenCL library";

std::mutex mutex;
int num_captures = 0;
int original = -1;
int memory = -1;

// Makes `file` write to another descriptor from now on; returns the one before. A field that is in
// glibc's public header, unchanged since 1997.
int redirect(std::FILE* file, int descriptor) {
  ::flockfile(file);
  std::fflush(file);
  const int before = file->_fileno;
  file->_fileno = descriptor;
  ::funlockfile(file);
  return before;
}

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written <= 0) {
      return;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// Passes on what was not ours to drop, and empties the memory.
void pass_on() {
  std::string text(static_cast<size_t>(::lseek(memory, 0, SEEK_END)), '\0');
  const ssize_t size = ::pread(memory, text.data(), text.size(), 0);
  std::string_view rest(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end == std::string_view::npos ? end : end + 1);
    if (!line.starts_with(kDropped)) {
      write_all(original, line);
    }
    rest.remove_prefix(line.size());
  }
  if (::ftruncate(memory, 0) == 0) {
    ::lseek(memory, 0, SEEK_SET);
  }
}

}  // namespace

StdoutCapture::StdoutCapture() {
  const std::lock_guard lock(mutex);
  if (memory < 0) {
    memory = ::memfd_create("litert-stdout", MFD_CLOEXEC);
  }
  if (memory >= 0 && num_captures++ == 0) {
    original = redirect(stdout, memory);
  }
}

StdoutCapture::~StdoutCapture() {
  const std::lock_guard lock(mutex);
  if (memory >= 0 && --num_captures == 0) {
    redirect(stdout, original);
    pass_on();
  }
}

#else

StdoutCapture::StdoutCapture() = default;
StdoutCapture::~StdoutCapture() = default;

#endif

}  // namespace litert_native::runtime
