// Releasing and taking the GIL, safely also while the interpreter ends.
//
// A thread that asks for the GIL after the interpreter has begun to end is ended by Python (before
// 3.14) through a forced unwind. In a destructor that is std::terminate, and an unwind through the
// callers would free Python objects without the GIL. Python 3.14 lets such threads hang; so do
// these, in every version: only daemon threads can get here, and the process is about to exit.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

namespace litert_native::bindings {

[[noreturn]] inline void hang() {
  for (;;) {
    std::this_thread::sleep_for(std::chrono::hours(1));
  }
}

// Releases the GIL for its lifetime.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      hang();
    }
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

// Holds the GIL for its lifetime, in whatever thread.
class GilAcquire {
 public:
  GilAcquire() : state_(ensure()) {}
  ~GilAcquire() { PyGILState_Release(state_); }
  GilAcquire(const GilAcquire&) = delete;
  GilAcquire& operator=(const GilAcquire&) = delete;

 private:
  static PyGILState_STATE ensure() {
    try {
      return PyGILState_Ensure();
    } catch (...) {
      hang();
    }
  }

  PyGILState_STATE state_;
};

// The same object, freed without the GIL by whoever drops it last: for what takes long to free.
template <typename T>
[[nodiscard]] std::shared_ptr<T> free_without_gil(std::shared_ptr<T> object) {
  T* const address = object.get();
  return {address, [owner = std::move(object)](T*) mutable {
            if (PyGILState_Check() != 0) {
              const GilRelease released;
              owner.reset();
            } else {
              owner.reset();
            }
          }};
}

}  // namespace litert_native::bindings
