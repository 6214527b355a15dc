// Times inside a run, as the library's own profiler tells them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "litert/runtime/compiled_model.h"

namespace litert_native::runtime {

struct ProfiledEvent {
  std::string name;
  // Of an operator, in the graph or inside a delegate; else of a part of the run.
  bool is_operator = false;
  bool is_in_delegate = false;
  uint64_t microseconds = 0;
};

// Needs a model compiled with enable_profiling, which takes memory for 512k events. Guarded by the
// compiled model's mutex, which it takes itself.
class Profiler {
 public:
  // Throws StatusError if the model was compiled without profiling.
  explicit Profiler(std::shared_ptr<CompiledModel> compiled);

  void start();
  // Stops, and returns what was seen since start(), in the order of time.
  [[nodiscard]] std::vector<ProfiledEvent> stop();

 private:
  [[nodiscard]] LiteRtProfiler handle() const;

  std::shared_ptr<CompiledModel> compiled_;
};

}  // namespace litert_native::runtime
