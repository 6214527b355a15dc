// C++ exceptions become the Python classes of litert.errors.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>

namespace litert_native::bindings {

// Another call of the same runner is under way.
class BusyError : public std::exception {};

// Sets the Python error for `error`; needs the GIL.
void set_python_error(const std::exception_ptr& error);

void register_error_translator();

}  // namespace litert_native::bindings
