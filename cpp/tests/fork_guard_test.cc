// Forks beside calls of the library, and inside of them. A test that hangs is ended by the runner.
#include "litert/runtime/fork_guard.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "check.h"
#include "litert/runtime/environment.h"
#include "litert/runtime/library.h"

namespace {

using litert_native::runtime::Environment;
using litert_native::runtime::EnvironmentOptions;
using litert_native::runtime::ForkGuard;
using litert_native::runtime::ForkPause;
using litert_native::runtime::open_library;
using litert_native::runtime::VerboseLog;

constexpr unsigned kPatienceSeconds = 20;  // of a child that would wait for ever

// Whether a forked child comes to the end of `work`.
template <typename Work>
bool ends_in_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(kPatienceSeconds);
    work();
    std::_Exit(EXIT_SUCCESS);
  }
  int status = -1;
  return ::waitpid(child, &status, 0) == child && status == 0;
}

void nothing() {}

// As a GPU's driver does to start a program.
void a_call_may_fork() {
  const ForkGuard guard;
  CHECK(ends_in_child([] { const ForkGuard nested; }));
  CHECK(ends_in_child(nothing));
}

[[maybe_unused]] void a_child_that_is_forked_inside_a_call_forks_after_it() {
  std::optional<ForkGuard> guard(std::in_place);
  CHECK(ends_in_child([&] {
    guard.reset();
    CHECK(ends_in_child(nothing));
  }));
}

// As a kernel does that waits for Python's GIL.
void a_fork_does_not_wait_for_a_pause() {
  const ForkGuard guard;
  std::atomic<bool> is_forked = false;
  std::thread forking;
  {
    const ForkPause pause;
    forking = std::thread([&] {
      CHECK(ends_in_child([] { const ForkGuard inner; }));
      is_forked = true;
    });
    while (!is_forked) {
      std::this_thread::yield();
    }
  }
  forking.join();
  CHECK(ends_in_child([] { const ForkGuard nested; }));
}

void forks_wait_for_no_call_that_waits_for_them() {
  std::atomic<bool> is_stopping = false;
  std::thread compiling([&] {
    while (!is_stopping) {
      const ForkGuard guard;
      const VerboseLog log;
    }
  });
  std::thread opening([&] {
    while (!is_stopping) {
      (void)Environment::make_empty();
    }
  });
  for (int i = 0; i < 100; ++i) {
    CHECK(ends_in_child(nothing));
  }
  is_stopping = true;
  compiling.join();
  opening.join();
}

// One thread is in a call, another one wants to fork and waits for it, a third one comes last.
void a_child_opens_environments_while_its_parent_was_about_to() {
  using namespace std::chrono_literals;
  std::atomic<bool> is_inside = false;
  std::thread calling([&] {
    const ForkGuard guard;
    is_inside = true;
    std::this_thread::sleep_for(300ms);
  });
  while (!is_inside) {
  }
  EnvironmentOptions options;
  options.dispatch_folder = "/none";
  std::thread opening([&] {
    std::this_thread::sleep_for(100ms);
    (void)Environment::shared(options);
  });
  CHECK(ends_in_child([&] { (void)Environment::shared(options); }));
  calling.join();
  opening.join();
}

}  // namespace

int main() {
  a_call_may_fork();
#ifndef __SANITIZE_THREAD__  // it takes the child's new lock for the parent's, which is still held
  a_child_that_is_forked_inside_a_call_forks_after_it();
#endif
  a_fork_does_not_wait_for_a_pause();
  const char* const library = std::getenv("LITERT_LIBRARY");
  if (library == nullptr) {
    return 77;
  }
  open_library(library);
  ::alarm(5 * kPatienceSeconds);
  forks_wait_for_no_call_that_waits_for_them();
  a_child_opens_environments_while_its_parent_was_about_to();
}
