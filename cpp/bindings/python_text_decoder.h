// A text decoder written in Python, as the token loop takes it.
#pragma once

#include <pybind11/critical_section.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "gil.h"
#include "litert/language/detokenizer.h"
#include "litert/language/text_decoder.h"

namespace litert_native::bindings {

// Calls push(int) -> str and flush() -> str of a Python object, with the GIL. What they raise comes
// out as pybind11::error_already_set.
class PythonTextDecoder final : public language::TextDecoder {
 public:
  // Needs the GIL, as does nothing else here.
  explicit PythonTextDecoder(const pybind11::object& decoder)
      : push_(decoder.attr("push")), flush_(decoder.attr("flush")) {}
  ~PythonTextDecoder() override {
    const GilAcquire gil;
    push_ = {};
    flush_ = {};
  }
  PythonTextDecoder(const PythonTextDecoder&) = delete;
  PythonTextDecoder& operator=(const PythonTextDecoder&) = delete;

  void push(int32_t id, std::string& text) override {
    const GilAcquire gil;
    append(push_(id), text);
  }

  void flush(std::string& text) override {
    const GilAcquire gil;
    append(flush_(), text);
  }

 private:
  static void append(const pybind11::object& piece, std::string& text) {
    if (!pybind11::isinstance<pybind11::str>(piece)) {
      throw pybind11::type_error("a text decoder's push() and flush() give str, got " +
                                 std::string(Py_TYPE(piece.ptr())->tp_name));
    }
    Py_ssize_t size = 0;
    const char* const bytes = PyUnicode_AsUTF8AndSize(piece.ptr(), &size);
    if (bytes == nullptr) {
      throw pybind11::error_already_set();
    }
    text.append(bytes, static_cast<size_t>(size));
  }

  pybind11::object push_;
  pybind11::object flush_;
};

// Returns a copy of a Detokenizer, so that the loop runs without Python, or calls the object.
inline std::unique_ptr<language::TextDecoder> to_text_decoder(const pybind11::object& decoder) {
  if (pybind11::isinstance<language::Detokenizer>(decoder)) {
    const pybind11::scoped_critical_section guard(decoder);
    return std::make_unique<language::Detokenizer>(
        pybind11::cast<const language::Detokenizer&>(decoder));
  }
  return std::make_unique<PythonTextDecoder>(decoder);
}

}  // namespace litert_native::bindings
