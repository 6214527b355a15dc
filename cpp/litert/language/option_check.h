// Checks of the numbers that options hold: a message says what was expected and what was given.
#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <type_traits>

#include "litert/runtime/status.h"

namespace litert_native::language {

// Throws StatusError 1 if `is_right` is false. Without a stream, which would bring the locales of
// the C++ library into the extension: 300 kB.
template <typename Value>
void check_option(bool is_right, const char* name, const char* expected, Value value) {
  if (is_right) {
    return;
  }
  std::array<char, 32> text{};
  if constexpr (std::is_floating_point_v<Value>) {
    std::snprintf(text.data(), text.size(), "%g", static_cast<double>(value));
  } else {
    std::snprintf(text.data(), text.size(), "%lld", static_cast<long long>(value));
  }
  throw runtime::StatusError(1,
                             std::string(name) + ": expected " + expected + ", got " + text.data());
}

}  // namespace litert_native::language
