#include "litert/runtime/fork_guard.h"

#include <pthread.h>

#include <mutex>
#include <new>
#include <shared_mutex>
#include <utility>

namespace litert_native::runtime {
namespace {

std::shared_mutex calls;
// A fork holds it while it waits for `calls`, so that no new call goes first, over and over.
std::mutex gate;
// Guards nest (destroying what a failed load has made); only the outermost one locks.
thread_local int depth = 0;

// A driver may fork inside the call that loads it, to start a program; such a fork does not wait
// for the call that it is part of.
bool is_inside_call() { return depth > 0; }

void prepare() {
  if (!is_inside_call()) {
    gate.lock();
    calls.lock();
  }
}

void resume_parent() {
  if (!is_inside_call()) {
    calls.unlock();
    gate.unlock();
  }
}

// Not unlocked: the lock knows its owner by the thread's id, which a fork changes.
void resume_child() {
  new (&calls) std::shared_mutex;
  new (&gate) std::mutex;
  if (is_inside_call()) {
    calls.lock_shared();
  }
}

}  // namespace

ForkGuard::ForkGuard() {
  static const int registered = pthread_atfork(prepare, resume_parent, resume_child);
  (void)registered;
  if (depth++ == 0) {
    const std::lock_guard lock(gate);
    calls.lock_shared();
  }
}

ForkGuard::~ForkGuard() {
  if (--depth == 0) {
    calls.unlock_shared();
  }
}

ForkPause::ForkPause() : depth_(std::exchange(depth, 0)) {
  if (depth_ > 0) {
    calls.unlock_shared();
  }
}

// Past the gate: the library may have a lock of its own meanwhile, which others wait for that a
// fork waits for. With the C library's locks, readers get in as long as others are in.
ForkPause::~ForkPause() {
  if (depth_ > 0) {
    calls.lock_shared();
  }
  depth = depth_;
}

}  // namespace litert_native::runtime
