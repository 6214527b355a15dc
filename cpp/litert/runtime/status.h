// The one place where a LiteRtStatus becomes an exception.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "litert/c/litert_common.h"

namespace litert_native::runtime {

// A failed call of the library, or a check of ours that stands for one.
class StatusError : public std::runtime_error {
 public:
  StatusError(int status, const std::string& message, std::string library_log = {})
      : std::runtime_error(message), status_(status), library_log_(std::move(library_log)) {}

  [[nodiscard]] int status() const { return status_; }
  // What the library said about it, lines separated by '\n'; may be empty.
  [[nodiscard]] const std::string& library_log() const { return library_log_; }

 private:
  int status_;
  std::string library_log_;
};

// An object was used after its close().
class ClosedError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The name of a status without its kLiteRtStatus prefix; the library exports no such function.
[[nodiscard]] std::string_view status_name(int status);

// Throws StatusError unless `status` is Ok. `what` is what we were doing: "load model".
void check(LiteRtStatus status, std::string_view what, std::string_view library_log = {});

// Makes one of those calls of the library that let C++ exceptions out of a C function on damaged
// models (std::logic_error over repeated or missing names, bounds checks of 2.1.6).
template <typename Call>
LiteRtStatus without_exceptions(Call call) {
  try {
    return call();
  } catch (const std::exception&) {
    return kLiteRtStatusErrorRuntimeFailure;
  }
}

}  // namespace litert_native::runtime
