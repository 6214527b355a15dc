// Which models the compiled model cannot run rightly, told from the graph before anything is run.
//
// The library sizes output buffers by shapes that it knows before a run. Where an output's shape
// depends on values (of an input, or of another input's shape), it answers Ok with an output that
// was never written, or writes past the buffer that it asked for. Such models are left to the
// reference backend.
#pragma once

#include <string>

#include "litert/runtime/model_file.h"

namespace litert_native::runtime {

struct GraphFacts {
  // Why the compiled model must not run this graph; empty where it may.
  std::string unsupported;
  // How long a run takes depends on its data.
  bool has_loops = false;
};

[[nodiscard]] GraphFacts check_graph(const ModelFile& file);

}  // namespace litert_native::runtime
