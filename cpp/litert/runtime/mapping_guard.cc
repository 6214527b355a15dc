#include "litert/runtime/mapping_guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "litert/runtime/shared_mappings.h"

namespace litert_native::runtime {
namespace {

// Ignored by default wherever else it arrives, and never lost where it is blocked. It comes to one
// thread that waits for it, so nobody's handler is touched or called.
constexpr int kLeaseSignal = SIGURG;
// After a copy that failed.
constexpr timespec kRetryDelay = {.tv_sec = 1, .tv_nsec = 0};

bool lease(int descriptor, pid_t thread) {
  // Exactly this thread, which the kernel knows by its own number.
  const f_owner_ex owner = {.type = F_OWNER_TID, .pid = thread};
  return ::fcntl(descriptor, F_SETSIG, kLeaseSignal) == 0 &&
         ::fcntl(descriptor, F_SETOWN_EX, &owner) == 0 &&
         ::fcntl(descriptor, F_SETLEASE, F_RDLCK) == 0;
}

// A description of its own, as a lease belongs to that and not to the descriptor: it ends with us,
// whoever has a duplicate.
Descriptor open_again(int descriptor) {
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  return Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

}  // namespace

// All guards of this process, and the thread that serves them. Never destroyed: the thread lives as
// long as the process.
struct MappingGuard::Registry {
  std::shared_mutex mappings;  // taken before `mutex`
  std::mutex mutex;
  std::condition_variable is_started;
  std::vector<MappingGuard*> guards;
  pid_t thread = 0;

  Registry();
  bool start_thread(std::unique_lock<std::mutex>& lock);
  bool give_way();
  void resume_child();
};

namespace {

// Waits for writers. `give_way` says whether all could be let through.
template <typename GiveWay>
void serve(GiveWay give_way) {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, kLeaseSignal);
  bool is_done = true;
  while (true) {
    if (is_done) {
      (void)::sigwaitinfo(&signals, nullptr);
    } else {
      (void)::sigtimedwait(&signals, nullptr, &kRetryDelay);
    }
    is_done = give_way();
  }
}

}  // namespace

MappingGuard::Registry& MappingGuard::registry() {
  static Registry* const registry = std::make_unique<Registry>().release();
  return *registry;
}

MappingGuard::Registry::Registry() {
  // No half-changed registry in a child; no copy is under way then either.
  pthread_atfork([] { registry().mutex.lock(); }, [] { registry().mutex.unlock(); },
                 [] { registry().resume_child(); });
}

// The leases are the parent's, as is the thread.
void MappingGuard::Registry::resume_child() {
  // Not unlocked: a lock knows its owner by the thread's id, which a fork changes.
  new (&mappings) std::shared_mutex;
  new (&mutex) std::mutex;
  new (&is_started) std::condition_variable;
  thread = 0;
  for (MappingGuard* const guard : guards) {
    if (!guard->leased_.is_open()) {
      continue;
    }
    guard->leased_ = open_again(guard->leased_.value());
    std::unique_lock lock(mutex);
    if (!start_thread(lock) || !lease(guard->leased_.value(), thread)) {
      // A writer waits for the parent's lease already.
      (void)replace_shared_mappings(guard->leased_.value());
      guard->leased_.reset();
    }
  }
}

// False where there can be none.
bool MappingGuard::Registry::start_thread(std::unique_lock<std::mutex>& lock) {
  if (thread != 0) {
    return true;
  }
  // The new thread inherits the mask: no signal that is meant for others ends there.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  bool is_running = true;
  try {
    std::thread([this] {
      {
        const std::lock_guard started(mutex);
        thread = static_cast<pid_t>(::syscall(SYS_gettid));
      }
      is_started.notify_all();
      serve([this] { return give_way(); });
    }).detach();
  } catch (const std::system_error&) {
    is_running = false;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (is_running) {
    is_started.wait(lock, [this] { return thread != 0; });
  }
  return is_running;
}

// Lets every writer through that waits. False where one has to go on waiting.
bool MappingGuard::Registry::give_way() {
  const std::unique_lock nobody_maps(mappings);
  const std::lock_guard lock(mutex);
  bool is_done = true;
  for (MappingGuard* const guard : guards) {
    const int descriptor = guard->leased_.value();
    // A lease that somebody waits for is told as what it has to become.
    if (descriptor < 0 || ::fcntl(descriptor, F_GETLEASE) != F_UNLCK) {
      continue;
    }
    if (replace_shared_mappings(descriptor)) {
      guard->leased_.reset();
    } else {
      is_done = false;
    }
  }
  return is_done;
}

std::unique_ptr<MappingGuard> MappingGuard::take(int descriptor) {
  Registry& registry = MappingGuard::registry();
  std::unique_lock lock(registry.mutex);
  Descriptor opened = open_again(descriptor);
  if (!opened.is_open() || !registry.start_thread(lock)) {
    opened.reset();
  } else if (!lease(opened.value(), registry.thread)) {
    if (errno == EAGAIN) {
      return nullptr;
    }
    opened.reset();
  }
  std::unique_ptr<MappingGuard> guard(new MappingGuard(std::move(opened)));
  registry.guards.push_back(guard.get());
  return guard;
}

std::shared_lock<std::shared_mutex> MappingGuard::hold_mappings() {
  return std::shared_lock(registry().mappings);
}

MappingGuard::~MappingGuard() {
  Registry& registry = MappingGuard::registry();
  const std::lock_guard lock(registry.mutex);
  std::erase(registry.guards, this);
  leased_.reset();
}

bool MappingGuard::is_active() const {
  const std::lock_guard lock(registry().mutex);
  return leased_.is_open();
}

}  // namespace litert_native::runtime
