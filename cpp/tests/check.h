// Checks of the C++ tests: the first that fails says where and what, and ends the test.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "litert/runtime/status.h"

namespace litert_native::tests {

inline void check_at(const char* file, int line, const char* condition, bool holds) {
  if (!holds) {
    std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    std::_Exit(EXIT_FAILURE);
  }
}

// What `call` throws as a StatusError; status 0 where it returns.
template <typename Call>
runtime::StatusError error_of(Call call) {
  try {
    call();
  } catch (const runtime::StatusError& error) {
    return error;
  }
  return {0, ""};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace litert_native::tests

// Variadic, since a condition may hold commas.
#define CHECK(...) \
  ::litert_native::tests::check_at(__FILE__, __LINE__, #__VA_ARGS__, static_cast<bool>(__VA_ARGS__))
