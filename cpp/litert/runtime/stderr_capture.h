// Catches what the library writes to C `stderr` while this thread is inside a call of it.
//
// The library has lines that no option turns off ("Created TensorFlow Lite XNNPACK delegate"). In
// place of redirecting file descriptor 2, which would swallow other threads' output, the C
// library's variable `stderr` is pointed at a stream of ours for the time of the call. That stream
// sorts by thread: the capturing thread's text is kept, any other thread's goes to descriptor 2 at
// once. Python's sys.stderr and direct writes never pass through it. Only with glibc, where
// `stderr` may be assigned; elsewhere nothing is captured.
#pragma once

#include <string>

namespace litert_native::runtime {

// RAII, nests, safe in several threads at once. Made under a ForkGuard, so that no fork meets it.
class StderrCapture {
 public:
  StderrCapture();
  ~StderrCapture();
  StderrCapture(const StderrCapture&) = delete;
  StderrCapture& operator=(const StderrCapture&) = delete;

  // What this thread's library calls have written so far, without the lines that say nothing.
  [[nodiscard]] std::string text() const;
  // The same with every line.
  [[nodiscard]] const std::string& all_text() const { return text_; }

 private:
  std::string text_;
  std::string* outer_;
};

}  // namespace litert_native::runtime
