// Fuzzes the reader of graphs and the rewriting of the context length.
//
// clang++ -fsanitize=fuzzer,address,undefined ... fuzz_length_rewriter.cc
// Without -fsanitize=fuzzer, build with -DLITERT_FUZZ_REPLAY to run the files named as arguments.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "litert/language/graph_reader.h"
#include "litert/language/length_rewriter.h"
#include "litert/runtime/status.h"

#ifdef LITERT_FUZZ_REPLAY
#include "../files.h"
#endif

namespace {

using litert_native::language::CachePorts;
using litert_native::language::LengthPlan;
using litert_native::language::LengthUse;
using litert_native::language::PlacedGraphs;
using litert_native::language::PlacedSignature;
using litert_native::runtime::StatusError;

constexpr int kInvalidFlatbuffer = 501;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// What the file's own names say: kv_cache_v_* has its slots along the last dimension, other caches
// along the one before.
std::vector<CachePorts> ports_of(const PlacedGraphs& graphs, int32_t& length) {
  std::vector<CachePorts> ports;
  for (const PlacedSignature& signature : graphs.signatures) {
    CachePorts& added = ports.emplace_back();
    added.signature = signature.key;
    for (const auto& [name, tensor] : signature.inputs) {
      const size_t rank = graphs.tensors[tensor].rank();
      if (name == "mask") {
        added.mask = name;
      } else if (name.starts_with("kv_cache") && rank >= 2) {
        const size_t axis = name.starts_with("kv_cache_v") ? rank - 1 : rank - 2;
        length = graphs.tensors[tensor].dim(axis);
        added.caches.push_back({std::string(name), std::string(name), axis});
      }
    }
  }
  return ports;
}

void rewrite(std::span<const std::byte> file, const LengthPlan& plan, int32_t new_length) {
  std::vector<std::byte> copy(file.begin(), file.end());
  plan.apply(copy, new_length);
  if (plan.num_tables() == 0) {
    size_t num_changed = 0;
    for (size_t i = 0; i < copy.size(); ++i) {
      num_changed += copy[i] != file[i] ? 1 : 0;
    }
    require(num_changed <= plan.num_places() * sizeof(int32_t));
  }
  // Once changed it is no copy of the analysed file any more.
  if (new_length != plan.length()) {
    try {
      plan.apply(copy, new_length);
      require(false);
    } catch (const StatusError& error) {
      require(error.status() == 1);
    }
  }
}

void fuzz(std::span<const std::byte> file) {
  try {
    const PlacedGraphs graphs(file);
    int32_t length = 0;
    const std::vector<CachePorts> ports = ports_of(graphs, length);
    const LengthPlan plan = LengthPlan::analyse(file, ports, length);
    require((plan.use() == LengthUse::kFixed) == !plan.reason().empty());
    rewrite(file, plan, length);
    if (plan.use() != LengthUse::kFixed) {
      rewrite(file, plan, length - 1);
      rewrite(file, plan, std::max(length / 2, 1));
    }
  } catch (const StatusError& error) {
    require(error.status() == kInvalidFlatbuffer);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz(std::as_bytes(std::span(data, size)));
  return 0;
}

#ifdef LITERT_FUZZ_REPLAY
int main(int num_arguments, char** arguments) {
  for (int i = 1; i < num_arguments; ++i) {
    fuzz(litert_native::tests::read_file(arguments[i]));
  }
}
#endif
