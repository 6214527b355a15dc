#include "litert/runtime/fork_guard.h"

#include <pthread.h>

#include <mutex>
#include <new>
#include <shared_mutex>

namespace litert_native::runtime {
namespace {

std::shared_mutex calls;
// A fork holds it while it waits for `calls`, so that no new call goes first, over and over.
std::mutex gate;
// Guards nest (destroying what a failed load has made); only the outermost one locks.
thread_local int depth = 0;

void prepare() {
  gate.lock();
  calls.lock();
}

void resume_parent() {
  calls.unlock();
  gate.unlock();
}

// Not unlocked: the lock knows its owner by the thread's id, which a fork changes.
void resume_child() {
  new (&calls) std::shared_mutex;
  new (&gate) std::mutex;
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

}  // namespace litert_native::runtime
