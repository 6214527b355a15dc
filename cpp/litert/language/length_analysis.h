// Finds every number in a .tflite file that is the length of the caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "litert/language/graph_reader.h"

namespace litert_native::language {

// The tensors of one signature that have the dimension of the context.
struct CachePorts {
  struct Cache {
    std::string input;
    std::string output;
    size_t sequence_axis = 0;
  };
  std::string signature;
  std::vector<Cache> caches;
  std::string mask;  // an input whose last dimension it is; empty where there is none
};

// A constant with an entry for each slot of the caches: num_blocks times length times block_size
// bytes. A shorter one keeps the first entries of each block.
struct LengthTable {
  size_t data = 0;  // position in the file
  size_t num_blocks = 0;
  size_t block_size = 0;
  size_t size_position = 0;  // of the buffer's size in bytes
  bool is_size_64_bits = false;
};

struct LengthChanges {
  std::vector<size_t> places;  // of int32 numbers equal to the length: ascending, none twice
  std::vector<LengthTable> tables;
  bool has_shape_operands = false;  // whether constants of operators are among the places
};

// The graph does something with the length that cannot be followed.
class LengthRefusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws LengthRefusal, and StatusError 501 for damaged bytes.
[[nodiscard]] LengthChanges find_length_changes(const PlacedGraphs& graphs,
                                                std::span<const CachePorts> signatures,
                                                int32_t length);

}  // namespace litert_native::language
