#include "litert/runtime/stderr_capture.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <string_view>

namespace litert_native::runtime {
namespace {

thread_local std::string* captured = nullptr;

#if defined(__GLIBC__)

std::mutex swap_mutex;
int num_captures = 0;
FILE* original = nullptr;

ssize_t write_sorted(void* /*cookie*/, const char* data, size_t size) {
  if (captured != nullptr) {
    captured->append(data, size);
    return static_cast<ssize_t>(size);
  }
  // A negative number would be taken for a size.
  return std::max(::write(STDERR_FILENO, data, size), ssize_t{0});
}

// Never closed: a thread that took the pointer just before it was put back may still write to it.
FILE* capturing_stream() {
  static FILE* const stream = [] {
    cookie_io_functions_t functions{};
    functions.write = write_sorted;
    FILE* const opened = fopencookie(nullptr, "w", functions);
    if (opened != nullptr) {
      // Unbuffered, so that the write happens in the thread that prints.
      setvbuf(opened, nullptr, _IONBF, 0);
    }
    return opened;
  }();
  return stream;
}

void begin() {
  const std::lock_guard lock(swap_mutex);
  FILE* const stream = capturing_stream();
  if (stream != nullptr && num_captures++ == 0) {
    original = stderr;
    stderr = stream;
  }
}

void end() {
  const std::lock_guard lock(swap_mutex);
  // Somebody else may have assigned stderr meanwhile; theirs stays.
  if (capturing_stream() != nullptr && --num_captures == 0 && stderr == capturing_stream()) {
    stderr = original;
  }
}

#else

void begin() {}
void end() {}

#endif

bool says_nothing(std::string_view line) { return line.empty() || line.starts_with("INFO: "); }

}  // namespace

StderrCapture::StderrCapture() : outer_(captured) {
  captured = &text_;
  begin();
}

StderrCapture::~StderrCapture() {
  end();
  captured = outer_;
}

std::string StderrCapture::text() const {
  std::string kept;
  std::string_view rest = text_;
  while (!rest.empty()) {
    const size_t length = rest.find('\n');
    const std::string_view line = rest.substr(0, length);
    if (!says_nothing(line)) {
      kept.append(line).push_back('\n');
    }
    rest = length == std::string_view::npos ? std::string_view{} : rest.substr(length + 1);
  }
  return kept;
}

}  // namespace litert_native::runtime
