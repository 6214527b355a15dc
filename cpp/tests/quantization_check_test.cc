// The cases of tests/test_quantization_check.py: both sides of the project refuse the same scales.
#include "litert/runtime/quantization_check.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "check.h"

namespace {

using litert_native::runtime::FileOperator;
using litert_native::runtime::FileSubgraph;
using litert_native::runtime::FileTensor;
using litert_native::runtime::find_fatal_quantization;
using litert_native::runtime::ModelFile;
using litert_native::tests::contains;

using Scale = std::optional<float>;

// BuiltinOperator numbers (schema.fbs).
constexpr int32_t kAdd = 0, kMul = 18, kSub = 41, kMaximum = 55, kLess = 58, kEqual = 71,
                  kSquaredDifference = 99;
constexpr LiteRtElementType kInt8 = kLiteRtElementTypeInt8, kUInt8 = kLiteRtElementTypeUInt8,
                            kInt16 = kLiteRtElementTypeInt16, kFloat32 = kLiteRtElementTypeFloat32;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinite = std::numeric_limits<float>::infinity();
constexpr std::nullopt_t kNone = std::nullopt;

// z = x <operator> y with a scale for each tensor.
struct Case {
  int32_t code;
  std::vector<Scale> scales;
  LiteRtElementType element_type = kInt8;
};

FileTensor quantized(Scale scale, LiteRtElementType element_type) {
  FileTensor tensor;
  tensor.element_type = element_type;
  if (scale) {
    tensor.scales = {*scale};
    tensor.zero_points = {0};
    tensor.is_quantized = true;
  }
  return tensor;
}

ModelFile model_of(const Case& each) {
  FileSubgraph subgraph;
  for (const Scale scale : each.scales) {
    subgraph.tensors.push_back(quantized(scale, each.element_type));
  }
  subgraph.operators.push_back(
      {.code = each.code, .custom_name = {}, .inputs = {0, 1}, .outputs = {2}});
  return {.subgraphs = {std::move(subgraph)}, .signatures = {}};
}

void test_scales_that_abort_are_found() {
  const std::vector<Case> cases = {
      {kAdd, {kNone, kNone, kNone}},
      {kAdd, {0.1f, kNone, 0.1f}},
      {kAdd, {0.1f, 0.1f, kNone}, kUInt8},
      {kAdd, {0.0f, 0.1f, 0.1f}},
      {kAdd, {kNan, 0.1f, 0.1f}},
      {kAdd, {0.1f, kNan, 0.1f}},
      {kAdd, {0.1f, kInfinite, 0.1f}},
      {kAdd, {-0.1f, 0.1f, 0.1f}},
      {kAdd, {0.1f, 0.1f, 1e-30f}},
      {kAdd, {0.1f, 0.1f, 1e38f}},
      {kAdd, {0.3f, kNone, 0.3f}, kInt16},
      {kSub, {kNone, kNone, kNone}},
      {kSub, {0.1f, 0.1f, kNan}},
      {kSub, {kNone, kNone, kNone}, kInt16},
      {kSquaredDifference, {kNone, kNone, kNone}},
      {kSquaredDifference, {10.0f, 10.0f, 0.001f}},
      {kLess, {kNone, kNone, kNone}},
      {kLess, {0.5f, 1.0f, kNone}},
      {kEqual, {1.0f, 1.0f, kNone}, kUInt8},
      {kEqual, {1.0f, 1.0f, kNone}, kInt16},
  };
  for (const Case& each : cases) {
    CHECK(find_fatal_quantization(model_of(each)) ==
          "operator " + std::to_string(each.code) +
              " (number 0 of subgraph 0): the scales of its quantized tensors are missing or out "
              "of range");
  }
}

void test_harmless_scales_pass() {
  const std::vector<Case> cases = {
      {kAdd, {0.1f, 0.2f, 0.3f}},
      {kAdd, {1e-30f, 0.1f, 0.1f}},
      {kAdd, {0.1f, 0.1f, 1e30f}},
      {kAdd, {kNone, kNone, kNone}, kInt16},
      {kAdd, {kNone, kNone, kNone}, kFloat32},
      {kSub, {0.1f, 0.1f, 0.1f}},
      {kSub, {1.0f, 1.0f, 1e-9f}},
      {kSquaredDifference, {0.1f, 0.1f, 0.1f}},
      {kLess, {0.5f, 0.5f, kNone}},
      {kLess, {2.0f, 2.0f, kNone}},
      {kEqual, {kNone, kNone, kNone}, kInt16},
      {kMaximum, {kNone, kNone, kNone}},
      {kMul, {kNone, kNone, kNone}},
  };
  for (const Case& each : cases) {
    CHECK(find_fatal_quantization(model_of(each)).empty());
  }
}

void test_other_numbers_of_operands_pass() {
  const Case fatal = {kAdd, {kNone, kNone, kNone}};
  for (const std::vector<int32_t>& inputs :
       std::vector<std::vector<int32_t>>{{}, {0}, {0, 1, 1}, {0, -1}}) {
    ModelFile file = model_of(fatal);
    file.subgraphs[0].operators[0].inputs = inputs;
    CHECK(find_fatal_quantization(file).empty());
  }
  ModelFile file = model_of(fatal);
  file.subgraphs[0].operators[0].outputs = {};
  CHECK(find_fatal_quantization(file).empty());
}

void test_more_than_one_scale_counts_as_none() {
  ModelFile file = model_of({kAdd, {0.1f, 0.1f, 0.1f}});
  CHECK(find_fatal_quantization(file).empty());
  file.subgraphs[0].tensors[1].scales = {0.1f, 0.1f};
  CHECK(contains(find_fatal_quantization(file), "operator 0 (number 0 of subgraph 0)"));
}

// Tensor 0: int4[16, 64] in blocks of 32; tensor 1: its 32 scales.
ModelFile blockwise_model() {
  FileTensor weights;
  weights.name = "w";
  weights.shape = {16, 64};
  weights.is_quantized = true;
  weights.is_blockwise = true;
  weights.block_size = 32;
  weights.block_scales = 1;
  FileTensor scales;
  scales.shape = {32};
  scales.is_constant = true;
  FileSubgraph subgraph;
  subgraph.tensors = {weights, scales};
  return {.subgraphs = {std::move(subgraph)}, .signatures = {}};
}

template <typename Change>
std::string fault_with(Change change) {
  ModelFile file = blockwise_model();
  change(file.subgraphs[0].tensors[0], file.subgraphs[0].tensors[1]);
  return find_fatal_quantization(file);
}

void test_blockwise_scales_that_cannot_be_read_are_found() {
  const std::string place = "tensor 'w' in subgraph 0: ";
  const std::string absent =
      place + "the tensor of its blockwise scales or zero points does not exist";
  for (const int32_t index : {-1, 2, 1000}) {
    CHECK(fault_with([&](FileTensor& w, FileTensor&) { w.block_scales = index; }) == absent);
  }
  for (const int32_t index : {-2, 2}) {
    CHECK(fault_with([&](FileTensor& w, FileTensor&) { w.block_zero_points = index; }) == absent);
  }
  CHECK(fault_with([](FileTensor& w, FileTensor&) { w.block_size = 0; }) ==
        place + "expected a positive block size, got 0");
  const std::string no_constant = place + "its blockwise scales are no constant";
  CHECK(fault_with([](FileTensor&, FileTensor& s) { s.is_constant = false; }) == no_constant);
  CHECK(fault_with([](FileTensor&, FileTensor& s) { s.shape = {0}; }) == no_constant);
  CHECK(fault_with([](FileTensor&, FileTensor& s) { s.shape = {16}; }) ==
        place + "expected 1024 values in 16 blocks, got a block size of 32");
  constexpr int32_t kLarge = std::numeric_limits<int32_t>::max();
  CHECK(
      !fault_with([&](FileTensor& w, FileTensor&) { w.shape = {kLarge, kLarge, kLarge}; }).empty());
}

void test_sound_blockwise_scales_pass() {
  CHECK(find_fatal_quantization(blockwise_model()).empty());
  CHECK(fault_with([](FileTensor& w, FileTensor&) { w.block_zero_points = 1; }).empty());
}

}  // namespace

int main() {
  test_scales_that_abort_are_found();
  test_harmless_scales_pass();
  test_other_numbers_of_operands_pass();
  test_more_than_one_scale_counts_as_none();
  test_blockwise_scales_that_cannot_be_read_are_found();
  test_sound_blockwise_scales_pass();
}
