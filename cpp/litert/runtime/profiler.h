// Times inside a run, as the library's own profiler tells them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "litert/runtime/compiled_model.h"

namespace litert_native::runtime {

enum class EventKind : uint8_t {
  kRunPart,           // of the run: the whole invocation, what is done before and after it
  kBuiltinOperator,   // on the library's builtin kernels
  kDelegateOperator,  // inside a delegate: XNNPACK
};

struct ProfiledEvent {
  size_t name = 0;  // index into Recording::names
  EventKind kind = EventKind::kRunPart;
  // Since the first event; the library tells none of operators inside XNNPACK.
  std::optional<uint64_t> start_us = std::nullopt;
  uint64_t duration_us = 0;
  uint64_t node = 0;      // the library's metadata1: of an operator its index in the graph or
                          // delegate
  uint64_t subgraph = 0;  // metadata2
};

struct Recording {
  std::vector<std::string> names;  // each once
  std::vector<ProfiledEvent> events;
  bool is_full = false;  // the library keeps no more events, and dropped some
};

// Needs a model compiled with enable_profiling, which takes memory for 512k events (2,048
// with 2.1.6). Guarded by the compiled model's mutex, which it takes itself.
class Profiler {
 public:
  // Throws StatusError if the model was compiled without profiling.
  explicit Profiler(std::shared_ptr<CompiledModel> compiled);

  void start();
  // Stops, and returns what was seen since start(), in the order of time. Nothing in a forked child
  // whose parent was running the model.
  [[nodiscard]] Recording stop();

 private:
  [[nodiscard]] LiteRtProfiler handle() const;

  std::shared_ptr<CompiledModel> compiled_;
};

}  // namespace litert_native::runtime
