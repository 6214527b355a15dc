// What a .tflite file says about its graphs, read straight from the flatbuffer: the C API hides
// dimension signatures without has_rank, names of twin outputs and constant operands.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "litert/c/litert_model_types.h"

namespace litert_native::runtime {

// Views point into the file's bytes. Source: the TFLite schema, version 3.
struct FileTensor {
  std::string_view name;
  LiteRtElementType element_type = kLiteRtElementTypeNone;
  std::vector<int32_t> shape;      // as stored; an open dimension is stored as 1
  std::vector<int32_t> signature;  // -1 where open; equal to shape where the file has none
  std::vector<float> scales;
  std::vector<int64_t> zero_points;
  int32_t quantized_dimension = 0;
  bool is_variable = false;
  bool is_constant = false;   // has data of its own
  bool is_quantized = false;  // in whatever way
  bool has_details = false;   // quantization other than by scales and zero points
  bool is_blockwise = false;
  int32_t block_size = 0;
  int32_t block_scales = 0;  // tensor indices of a blockwise quantization, unchecked
  int32_t block_zero_points = -1;
};

struct FileOperator {
  int32_t code = 0;  // BuiltinOperator
  std::string_view custom_name;
  std::vector<int32_t> inputs;  // tensor indices; -1 where an optional one is left out
  std::vector<int32_t> outputs;
};

struct FileSubgraph {
  std::vector<FileTensor> tensors;
  std::vector<FileOperator> operators;
  std::vector<int32_t> inputs;
  std::vector<int32_t> outputs;
};

struct FileSignature {
  std::string_view key;
  std::vector<std::pair<std::string_view, uint32_t>> inputs;  // name, tensor index
  std::vector<std::pair<std::string_view, uint32_t>> outputs;
  uint32_t subgraph = 0;
};

struct ModelFile {
  uint32_t version = 0;  // of the schema
  std::vector<FileSubgraph> subgraphs;
  std::vector<FileSignature> signatures;
};

// A signature with the tensors that it names, and nothing of the graph behind them.
struct SignaturePorts {
  std::string_view key;
  std::vector<std::pair<std::string_view, FileTensor>> inputs;  // is_constant is not told
  std::vector<std::pair<std::string_view, FileTensor>> outputs;
};

// Reads the signatures alone, which takes no time however large the graph is. Throws StatusError
// 501.
[[nodiscard]] std::vector<SignaturePorts> read_signature_ports(std::span<const std::byte> bytes);

// Reads a .tflite file. Every offset, length and index is checked; the weights are not touched.
// Throws StatusError 501.
[[nodiscard]] ModelFile read_model_file(std::span<const std::byte> bytes);

}  // namespace litert_native::runtime
