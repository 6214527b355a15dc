// Keeps what a GPU library prints through std::cout off the program's output.
//
// A C++ stream holds the `FILE*` that C's `stdout` was when the library was loaded, so there is no
// variable to swap. For the time of a call that `FILE` writes to memory in place of its descriptor;
// descriptor 1 itself, and Python's sys.stdout over it, are not touched. What other threads print
// through C meanwhile comes out in the end. Only with glibc; elsewhere nothing is kept.
#pragma once

namespace litert_native::runtime {

// RAII, nests, several threads at once.
class StdoutCapture {
 public:
  StdoutCapture();
  ~StdoutCapture();
  StdoutCapture(const StdoutCapture&) = delete;
  StdoutCapture& operator=(const StdoutCapture&) = delete;
};

}  // namespace litert_native::runtime
