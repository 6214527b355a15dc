// From marked dimensions to places in the file, where everybody who reads a place agrees.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "litert/language/graph_reader.h"
#include "litert/language/length_analysis.h"

namespace litert_native::language {

// What the graphs say about the dimension of the context.
struct MarkedGraphs {
  const PlacedGraphs& graphs;
  int32_t length = 0;
  std::span<const uint8_t> marks;       // by tensor, a bit for each dimension that is the context
  std::span<const uint8_t> is_reached;  // by subgraph, whether its operators have been looked at
};

// Writers of flatbuffers let equal vectors and equal constants share one place. Throws
// LengthRefusal where a place would be changed for one reader and kept for another.
[[nodiscard]] LengthChanges place_changes(const MarkedGraphs& marked);

}  // namespace litert_native::language
