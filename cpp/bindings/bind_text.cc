#include <pybind11/critical_section.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.h"
#include "gil.h"
#include "litert/language/detokenizer.h"
#include "litert/language/stop_matcher.h"
#include "litert/language/token_table.h"
#include "python_text_decoder.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using language::Detokenizer;
using language::StopMatcher;
using language::StopTokens;
using language::TokenTable;

// Of objects that one thread uses at a time: Python without a GIL lets several in.
template <typename T, typename Call>
auto alone(const py::object& self, Call call) {
  const py::scoped_critical_section guard(self);
  return call(py::cast<T&>(self));
}

std::shared_ptr<TokenTable> make_table(const std::vector<py::bytes>& rows,
                                       const std::vector<py::bytes>& start_rows,
                                       const py::bytes& is_skipped, bool replaces_each_byte,
                                       bool start_lasts_until_text) {
  const std::vector<std::string_view> views(rows.begin(), rows.end());
  const std::vector<std::string_view> start_views(start_rows.begin(), start_rows.end());
  const std::string_view marks = is_skipped;
  return std::make_shared<TokenTable>(
      views, start_views, std::vector<uint8_t>(marks.begin(), marks.end()),
      language::TokenTableRules{.replaces_each_byte = replaces_each_byte,
                                .start_lasts_until_text = start_lasts_until_text});
}

// All the text of the ids, as a token loop would hand it out.
std::string decode_tokens(const py::object& decoder, const std::vector<int32_t>& tokens) {
  const std::unique_ptr<language::TextDecoder> text_decoder = to_text_decoder(decoder);
  std::string text;
  const GilRelease released;
  for (const int32_t token : tokens) {
    text_decoder->push(token, text);
  }
  text_decoder->flush(text);
  return text;
}

void bind_detokenizer(py::module_& module) {
  py::class_<TokenTable, std::shared_ptr<TokenTable>>(module, "TokenTable", py::is_final())
      .def(py::init(&make_table), py::arg("rows"), py::arg("start_rows"), py::arg("is_skipped"),
           py::arg("replaces_each_byte"), py::arg("start_lasts_until_text"))
      .def("__len__", &TokenTable::size);
  py::class_<Detokenizer>(module, "Detokenizer", py::is_final())
      .def(py::init<std::shared_ptr<TokenTable>, bool>(), py::arg("table").none(false),
           py::arg("is_continuation") = false)
      .def(
          "push",
          [](const py::object& self, int32_t token) {
            return alone<Detokenizer>(self, [&](Detokenizer& detokenizer) {
              std::string text;
              detokenizer.push(token, text);
              return text;
            });
          },
          py::arg("token"))
      .def("flush", [](const py::object& self) {
        return alone<Detokenizer>(self, [](Detokenizer& detokenizer) {
          std::string text;
          detokenizer.flush(text);
          return text;
        });
      });
  module.def("decode_tokens", &decode_tokens, py::arg("decoder"), py::arg("tokens"));
}

// push() tells whether a stop came, and what is free to go; flush() gives the rest.
template <typename Matcher, typename Input, typename Released>
void bind_stop(py::module_& module, const char* name, const char* stops) {
  py::class_<Matcher>(module, name, py::is_final())
      .def(py::init<const std::vector<Released>&>(), py::arg(stops))
      .def("push",
           [](const py::object& self, const Input& input) {
             return alone<Matcher>(self, [&](Matcher& matcher) {
               Released released;
               const bool is_stopped = matcher.push(input, released);
               return std::pair(is_stopped, std::move(released));
             });
           })
      .def("flush", [](const py::object& self) {
        return alone<Matcher>(self, [](Matcher& matcher) {
          Released released;
          matcher.flush(released);
          return released;
        });
      });
}

}  // namespace

void bind_text(py::module_& module) {
  bind_detokenizer(module);
  bind_stop<StopMatcher, std::string, std::string>(module, "StopMatcher", "stop_strings");
  bind_stop<StopTokens, int32_t, std::vector<int32_t>>(module, "StopTokens", "sequences");
}

}  // namespace litert_native::bindings
