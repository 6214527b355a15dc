#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "gil.h"
#include "litert/language/language_model.h"
#include "litert/language/litert_executor.h"
#include "litert/language/session.h"
#include "litert/language/token_loop.h"
#include "litert/runtime/file_mapping.h"
#include "numpy_array.h"
#include "python_text_decoder.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using language::LanguageModel;
using language::LoopOptions;
using language::Section;
using language::Session;
using language::SessionUse;
using language::TextChunk;
using language::TokenLoop;
using runtime::OpenFile;

using SectionPair = std::pair<uint64_t, uint64_t>;  // offset, size

// Lets go of `held` without the GIL, whoever drops it last: freeing packed weights takes long, and
// a lock inside must not be waited for with the GIL.
template <typename T>
std::shared_ptr<T> released_without_gil(std::shared_ptr<T> held) {
  T* const address = held.get();
  return {address, [owner = std::move(held)](T*) mutable {
            if (PyGILState_Check() != 0) {
              const GilRelease released;
              owner.reset();
            } else {
              owner.reset();
            }
          }};
}

// [(key, [(name, type number, shape)...] inputs, ... outputs)]
py::list read_signatures(const OpenFile& file, SectionPair section) {
  const std::shared_ptr<const runtime::FileMapping> mapping =
      runtime::FileMapping::section(file.map(), section.first, section.second);
  py::list described;
  for (const runtime::SignaturePorts& ports : runtime::read_signature_ports(mapping->bytes())) {
    const auto describe = [](const auto& named) {
      py::list list;
      for (const auto& [name, tensor] : named) {
        list.append(py::make_tuple(to_python_name(std::string(name)),
                                   static_cast<int>(tensor.element_type),
                                   py::tuple(py::cast(tensor.signature))));
      }
      return list;
    };
    described.append(py::make_tuple(to_python_name(std::string(ports.key)), describe(ports.inputs),
                                    describe(ports.outputs)));
  }
  return described;
}

std::string name_or_empty(const py::handle& owner, const char* attribute) {
  const py::object value = owner.attr(attribute);
  return value.is_none() ? std::string() : value.cast<std::string>();
}

language::SignatureRoles to_roles(const py::handle& roles) {
  language::SignatureRoles converted;
  converted.key = roles.attr("key").cast<std::string>();
  converted.num_tokens = roles.attr("num_tokens").cast<size_t>();
  converted.tokens = name_or_empty(roles, "tokens");
  converted.embeddings = name_or_empty(roles, "embeddings");
  converted.positions = name_or_empty(roles, "positions");
  converted.mask = name_or_empty(roles, "mask");
  converted.parameters = name_or_empty(roles, "param_tensor");
  converted.logits = name_or_empty(roles, "logits");
  for (const py::handle& cache : roles.attr("caches")) {
    converted.caches.push_back({cache.attr("input").cast<std::string>(),
                                cache.attr("output").cast<std::string>(),
                                cache.attr("sequence_axis").cast<size_t>()});
  }
  return converted;
}

// From litert.language.layout.
language::ModelLayout to_layout(const py::handle& layout, const py::iterable& embedders) {
  language::ModelLayout converted;
  converted.length = layout.attr("cache_length").cast<int32_t>();
  converted.vocab_size = layout.attr("vocab_size").cast<size_t>();
  for (const py::handle& roles : layout.attr("prefills")) {
    converted.prefills.push_back(to_roles(roles));
  }
  converted.decode = to_roles(layout.attr("decode"));
  for (const py::handle& roles : embedders) {
    converted.embedders.push_back(
        {roles.attr("key").cast<std::string>(), roles.attr("num_tokens").cast<size_t>(),
         roles.attr("tokens").cast<std::string>(), roles.attr("embeddings").cast<std::string>()});
  }
  return converted;
}

// Calls a Python function with a view of the logits, which ends with the call.
language::LogitsHook to_hook(const py::object& function) {
  if (function.is_none()) {
    return {};
  }
  const std::shared_ptr<py::object> held(std::make_unique<py::object>(function).release(),
                                         [](py::object* object) {
                                           const GilAcquire acquired;
                                           std::unique_ptr<py::object>(object).reset();
                                         });
  return [held](std::span<float> logits, std::span<const int32_t> ids) {
    const GilAcquire acquired;
    // The base keeps NumPy from copying; the memory is the session's and lives as long as it does.
    const py::array_t<float> view(static_cast<py::ssize_t>(logits.size()), logits.data(),
                                  py::none());
    (*held)(view, py::tuple(py::cast(std::vector<int32_t>(ids.begin(), ids.end()))));
  };
}

// From litert.backends.language_protocol.LoopRequest.
LoopOptions to_options(const py::handle& request) {
  LoopOptions options;
  const auto get = [&]<typename T>(const char* name, T& value) {
    value = request.attr(name).cast<T>();
  };
  get("max_tokens", options.max_tokens);
  get("min_tokens", options.min_tokens);
  get("temperature", options.sampler.temperature);
  get("top_k", options.sampler.top_k);
  get("top_p", options.sampler.top_p);
  get("min_p", options.sampler.min_p);
  get("typical_p", options.sampler.typical_p);
  get("seed", options.sampler.seed);
  get("repetition_penalty", options.penalties.repetition_penalty);
  get("presence_penalty", options.penalties.presence_penalty);
  get("frequency_penalty", options.penalties.frequency_penalty);
  get("no_repeat_ngram", options.penalties.no_repeat_ngram);
  get("logit_bias", options.penalties.logit_bias);
  get("suppressed_tokens", options.penalties.suppressed_tokens);
  get("stop_tokens", options.stop_tokens);
  get("stop_strings", options.stop_strings);
  get("num_logprobs", options.num_logprobs);
  options.hook = to_hook(request.attr("logits_hook"));
  if (const py::object timeout = request.attr("timeout_s"); !timeout.is_none()) {
    options.timeout = std::chrono::duration_cast<language::Clock::duration>(
        std::chrono::duration<double>(timeout.cast<double>()));
  }
  return options;
}

py::object to_python(const TextChunk& chunk) {
  static constexpr const char* kReasons[] = {nullptr, "stop", "length", "cancelled", "timeout"};
  py::list details;
  for (const language::TokenDetails& token : chunk.details) {
    py::list top;
    for (const language::TokenLogprob& alternative : token.top) {
      top.append(py::make_tuple(alternative.id, alternative.logprob));
    }
    details.append(py::make_tuple(token.logprob, py::tuple(top)));
  }
  const char* const reason = kReasons[static_cast<size_t>(chunk.finish_reason)];
  return py::make_tuple(py::str(chunk.text), py::tuple(py::cast(chunk.tokens)), details,
                        reason == nullptr ? py::object(py::none()) : py::str(reason));
}

py::object next(TokenLoop& loop, bool to_the_end) {
  TextChunk chunk;
  bool has_chunk = false;
  {
    const GilRelease released;
    has_chunk = loop.next(chunk, to_the_end);
  }
  return has_chunk ? to_python(chunk) : py::object(py::none());
}

std::shared_ptr<LanguageModel> load(const std::shared_ptr<OpenFile>& file, SectionPair model,
                                    std::optional<SectionPair> embedder, const py::object& layout,
                                    const py::iterable& embedders, int num_threads,
                                    bool use_xnnpack, std::string cache_folder,
                                    int32_t context_length) {
  language::ModelLayout converted = to_layout(layout, embedders);
  const language::LanguageModelOptions options{.num_threads = num_threads,
                                               .use_xnnpack = use_xnnpack,
                                               .cache_folder = std::move(cache_folder),
                                               .context_length = context_length};
  std::optional<Section> embedder_section;
  if (embedder.has_value()) {
    embedder_section = Section{embedder->first, embedder->second};
  }
  const GilRelease released;
  return released_without_gil(LanguageModel::load(file, {model.first, model.second},
                                                  embedder_section, std::move(converted), options));
}

void bind_session(py::module_& module) {
  py::class_<Session, std::shared_ptr<Session>>(module, "Session", py::is_final())
      .def_property_readonly("tokens",
                             [](Session& session) {
                               const SessionUse use(session);
                               return session.tokens();
                             })
      .def(
          "append",
          [](Session& session, const std::vector<int32_t>& ids) {
            const SessionUse use(session);
            session.append(ids);
          },
          py::arg("ids"))
      .def(
          "truncate",
          [](Session& session, size_t length) {
            const SessionUse use(session);
            session.truncate(length);
          },
          py::arg("length"))
      .def(
          "start",
          [](const std::shared_ptr<Session>& session, const py::object& request,
             const py::object& decoder) {
            std::unique_ptr<language::TextDecoder> text =
                decoder.is_none() ? nullptr : to_text_decoder(decoder);
            const SessionUse use(*session);
            return std::make_unique<TokenLoop>(session, to_options(request), std::move(text));
          },
          py::arg("request"), py::arg("decoder"))
      .def("close", [](Session& session) {
        const GilRelease released;
        session.close();
      });
}

}  // namespace

void bind_language(py::module_& module) {
  py::class_<OpenFile, std::shared_ptr<OpenFile>>(module, "OpenFile", py::is_final())
      .def(py::init([](const std::string& path) {
             const GilRelease released;
             return std::const_pointer_cast<OpenFile>(OpenFile::open(path));
           }),
           py::arg("path"))
      .def("read_signatures", &read_signatures, py::arg("section"));

  py::class_<LanguageModel, std::shared_ptr<LanguageModel>>(module, "LanguageModel", py::is_final())
      .def_static("load", &load, py::arg("file"), py::arg("model"), py::arg("embedder"),
                  py::arg("layout"), py::arg("embedders"), py::arg("num_threads"),
                  py::arg("use_xnnpack"), py::arg("cache_folder"), py::arg("context_length"))
      .def_property_readonly("context_length", &LanguageModel::context_length)
      .def_property_readonly("vocab_size",
                             [](const LanguageModel& model) { return model.layout().vocab_size; })
      .def("take_notes", &LanguageModel::take_notes)
      .def("session",
           [](const std::shared_ptr<LanguageModel>& model) {
             return released_without_gil(
                 std::make_shared<Session>(std::make_unique<language::LiteRtExecutor>(model)));
           })
      .def("close", &LanguageModel::close, py::call_guard<GilRelease>());

  bind_session(module);

  py::class_<TokenLoop>(module, "TokenLoop", py::is_final())
      .def("next", [](TokenLoop& loop) { return next(loop, false); })
      .def("run", [](TokenLoop& loop) { return next(loop, true); })
      .def("cancel", &TokenLoop::cancel)
      .def("metrics", [](const TokenLoop& loop) {
        const language::LoopMetrics& metrics = loop.metrics();
        return py::make_tuple(metrics.prompt_tokens, metrics.cached_tokens,
                              metrics.generated_tokens, metrics.prefill_seconds,
                              metrics.first_token_seconds, metrics.decode_seconds);
      });
}

}  // namespace litert_native::bindings
