#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "bindings.h"
#include "gil.h"
#include "litert/language/log_probabilities.h"
#include "litert/language/logits_processor.h"
#include "litert/language/sampler.h"
#include "litert/runtime/status.h"

namespace py = pybind11;
using namespace py::literals;

namespace litert_native::bindings {
namespace {

using language::LogitsProcessor;
using language::PenaltyOptions;
using language::Sampler;
using language::SamplerOptions;
using language::TokenLogprob;
using Logits = py::array_t<float, py::array::c_style>;

// Makes a "one thread at a time" type wait for its turn.
template <typename Value>
struct Guarded {
  template <typename... Args>
  explicit Guarded(Args&&... args) : value(std::forward<Args>(args)...) {}

  std::mutex mutex;
  Value value;
};

// Raises the given class of litert.errors for invalid arguments.
template <typename Call>
auto call_or_raise(const char* error_class, Call call) {
  try {
    return call();
  } catch (const runtime::StatusError& error) {
    if (error.status() != 1) {
      throw;
    }
    const py::object raised =
        py::module_::import("litert.errors").attr(error_class)(py::str(error.what()));
    py::set_error(py::type::of(raised), raised);
    throw py::error_already_set();
  }
}

std::span<const float> span_of(const Logits& logits) {
  return {logits.data(), static_cast<size_t>(logits.size())};
}

std::unique_ptr<Guarded<Sampler>> make_sampler(size_t vocab_size, float temperature, int32_t top_k,
                                               float top_p, float min_p, float typical_p,
                                               uint64_t seed) {
  return call_or_raise("OptionError", [&] {
    return std::make_unique<Guarded<Sampler>>(
        SamplerOptions{temperature, top_k, top_p, min_p, typical_p, seed}, vocab_size);
  });
}

int32_t sample(Guarded<Sampler>& sampler, const Logits& logits, uint64_t draw_index) {
  return call_or_raise("TensorShapeError", [&] {
    const std::span<const float> values = span_of(logits);
    const GilRelease released;
    const std::lock_guard lock(sampler.mutex);
    return sampler.value.sample(values, draw_index);
  });
}

std::unique_ptr<Guarded<LogitsProcessor>> make_processor(
    size_t vocab_size, float repetition_penalty, float presence_penalty, float frequency_penalty,
    int32_t no_repeat_ngram, std::vector<std::pair<int32_t, float>> logit_bias,
    std::vector<int32_t> suppressed_tokens) {
  return call_or_raise("OptionError", [&] {
    return std::make_unique<Guarded<LogitsProcessor>>(
        PenaltyOptions{repetition_penalty, presence_penalty, frequency_penalty, no_repeat_ngram,
                       std::move(logit_bias), std::move(suppressed_tokens)},
        vocab_size);
  });
}

void start(Guarded<LogitsProcessor>& processor, const std::vector<int32_t>& prompt,
           size_t max_new_tokens) {
  call_or_raise("OptionError", [&] {
    const GilRelease released;
    const std::lock_guard lock(processor.mutex);
    processor.value.start(prompt, max_new_tokens);
  });
}

void accept(Guarded<LogitsProcessor>& processor, int32_t token) {
  call_or_raise("OptionError", [&] {
    const GilRelease released;
    const std::lock_guard lock(processor.mutex);
    processor.value.accept(token);
  });
}

void apply(Guarded<LogitsProcessor>& processor, Logits& logits) {
  call_or_raise("TensorShapeError", [&] {
    const std::span<float> values(logits.mutable_data(), static_cast<size_t>(logits.size()));
    const GilRelease released;
    const std::lock_guard lock(processor.mutex);
    processor.value.apply(values);
  });
}

// (log probability of `chosen`, [(id, log probability)])
py::tuple log_probabilities(const Logits& logits, int32_t chosen, size_t num_top) {
  return call_or_raise("OptionError", [&] {
    std::vector<TokenLogprob> best(num_top);
    const TokenLogprob of_chosen = [&] {
      const std::span<const float> values = span_of(logits);
      const GilRelease released;
      return language::log_probabilities(values, chosen, best);
    }();
    py::list top;
    for (const TokenLogprob& token : best) {
      top.append(py::make_tuple(token.id, token.logprob));
    }
    return py::make_tuple(of_chosen.logprob, top);
  });
}

}  // namespace

void bind_sampler(py::module_& module) {
  py::class_<Guarded<Sampler>>(module, "Sampler", py::is_final())
      .def(py::init(&make_sampler), "vocab_size"_a, py::kw_only(), "temperature"_a = 0.0F,
           "top_k"_a = 0, "top_p"_a = 1.0F, "min_p"_a = 0.0F, "typical_p"_a = 1.0F, "seed"_a = 0)
      .def("sample", &sample, "logits"_a.noconvert(), "draw_index"_a);
  py::class_<Guarded<LogitsProcessor>>(module, "LogitsProcessor", py::is_final())
      .def(py::init(&make_processor), "vocab_size"_a, py::kw_only(), "repetition_penalty"_a = 1.0F,
           "presence_penalty"_a = 0.0F, "frequency_penalty"_a = 0.0F, "no_repeat_ngram"_a = 0,
           "logit_bias"_a = py::tuple(), "suppressed_tokens"_a = py::tuple())
      .def_property_readonly(
          "does_nothing",
          [](const Guarded<LogitsProcessor>& processor) { return processor.value.does_nothing(); })
      .def("start", &start, "prompt"_a, "max_new_tokens"_a = 0)
      .def("accept", &accept, "token"_a)
      .def("apply", &apply, "logits"_a.noconvert());
  module.def("log_probabilities", &log_probabilities, "logits"_a.noconvert(), "chosen"_a,
             "num_top"_a = 0);
}

}  // namespace litert_native::bindings
