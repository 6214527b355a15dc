#include "litert/runtime/stdout_capture.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
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
// While something is captured. Made anew each time: a program may close all descriptors that it
// does not know (a daemon does), and the number is then another file's.
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
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return;
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// Passes on what was not ours to drop.
void pass_on() {
  const off_t end_of_text = ::lseek(memory, 0, SEEK_END);
  std::string text(end_of_text > 0 ? static_cast<size_t>(end_of_text) : 0, '\0');
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
}

}  // namespace

StdoutCapture::StdoutCapture() {
  const std::lock_guard lock(mutex);
  if (num_captures++ == 0) {
    memory = ::memfd_create("litert-stdout", MFD_CLOEXEC);
    if (memory >= 0) {
      original = redirect(stdout, memory);
    }
  }
}

StdoutCapture::~StdoutCapture() {
  const std::lock_guard lock(mutex);
  if (--num_captures == 0 && memory >= 0) {
    redirect(stdout, original);
    pass_on();
    ::close(memory);
    memory = -1;
  }
}

#else

StdoutCapture::StdoutCapture() = default;
StdoutCapture::~StdoutCapture() = default;

#endif

}  // namespace litert_native::runtime
