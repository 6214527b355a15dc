// Keeps fork() out of library calls that lock inside the library: in the child such a lock would
// stay taken, and its next load would wait for ever.
#pragma once

namespace litert_native::runtime {

// Held around a call; any number of threads at once. A fork waits until none is held, but by the
// forking thread itself. Must not be held while waiting for anything that the forking thread may
// have (Python's GIL), and comes before every mutex that is held over a call: a child that is
// forked while somebody waits here with one would never get it.
class ForkGuard {
 public:
  ForkGuard();
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
};

// Lets forks in again while it lives, inside of whatever guards this thread holds: for work in the
// middle of a call that may wait for the forking thread.
class ForkPause {
 public:
  ForkPause();
  ~ForkPause();
  ForkPause(const ForkPause&) = delete;
  ForkPause& operator=(const ForkPause&) = delete;

 private:
  int depth_;
};

}  // namespace litert_native::runtime
