// The cases of tests/test_data_flow_check.py: both sides of the project refuse the same graphs.
#include "litert/runtime/data_flow_check.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "files.h"

namespace {

using litert_native::runtime::FileOperator;
using litert_native::runtime::FileSubgraph;
using litert_native::runtime::find_broken_data_flow;
using litert_native::runtime::ModelFile;
using litert_native::runtime::read_model_file;
using litert_native::tests::read_file;

// BuiltinOperator numbers (schema.fbs).
constexpr int32_t kAdd = 0, kReshape = 22, kSqueeze = 43, kCast = 53, kExpandDims = 70;

FileOperator op(int32_t code, std::vector<int32_t> inputs, std::vector<int32_t> outputs) {
  return {
      .code = code, .custom_name = {}, .inputs = std::move(inputs), .outputs = std::move(outputs)};
}

// Tensors 0 to 5: 0 is the input, 1 a constant, 2 a variable, 5 is int8 and the others float32.
FileSubgraph subgraph_of(std::vector<FileOperator> operators, std::vector<int32_t> outputs) {
  FileSubgraph subgraph;
  subgraph.tensors.resize(6);
  for (auto& tensor : subgraph.tensors) {
    tensor.element_type = kLiteRtElementTypeFloat32;
  }
  subgraph.tensors[1].is_constant = true;
  subgraph.tensors[2].is_variable = true;
  subgraph.tensors[5].element_type = kLiteRtElementTypeInt8;
  subgraph.operators = std::move(operators);
  subgraph.inputs = {0};
  subgraph.outputs = std::move(outputs);
  return subgraph;
}

std::string fault(std::vector<FileSubgraph> subgraphs) {
  return find_broken_data_flow(ModelFile{.subgraphs = std::move(subgraphs), .signatures = {}});
}

std::string fault_of(std::vector<FileOperator> operators, std::vector<int32_t> outputs = {}) {
  return fault({subgraph_of(std::move(operators), std::move(outputs))});
}

void test_computed_and_stored_tensors_may_be_read() {
  CHECK(fault({}).empty());
  CHECK(fault_of({op(kAdd, {0, 1}, {3}), op(kAdd, {3, 2}, {4})}, {4}).empty());
  CHECK(fault_of({op(kAdd, {0, -1}, {3})}, {3}) ==
        "operator number 0 of subgraph 0 lacks operand 1");
  CHECK(fault_of({op(kAdd, {0, 0}, {-1, 3})}, {3}).empty());    // a result left out
  CHECK(fault_of({}, {0, 1, 2}).empty());                       // nothing to compute
  CHECK(fault_of({op(kAdd, {0, 1}, {3})}, {3, 3, 0}).empty());  // twins
}

void test_tensor_nobody_has_computed_is_found() {
  CHECK(fault_of({op(kAdd, {0, 3}, {4})}) ==
        "operator number 0 of subgraph 0 reads tensor 3, which nothing has computed before");
  // Its own output, and that of a later operator.
  CHECK(fault_of({op(kAdd, {3, 0}, {3})}) ==
        "operator number 0 of subgraph 0 reads tensor 3, which nothing has computed before");
  CHECK(fault_of({op(kAdd, {0, 0}, {3}), op(kAdd, {4, 0}, {5}), op(kAdd, {3, 3}, {4})}) ==
        "operator number 1 of subgraph 0 reads tensor 4, which nothing has computed before");
}

void test_output_nobody_computes_is_found() {
  CHECK(fault_of({op(kAdd, {0, 0}, {3})}, {3, 4}) ==
        "nothing computes the output tensor 4 of subgraph 0");
}

void test_changed_type_is_found() {
  for (const int32_t code : {kReshape, kSqueeze, kExpandDims}) {
    CHECK(fault_of({op(code, {0, 1}, {5})}) ==
          "operator number 0 of subgraph 0 changes the type of its tensor, which it cannot");
    CHECK(fault_of({op(code, {0, 1}, {3})}).empty());
    CHECK(fault_of({op(code, {}, {5}), op(code, {0}, {})}).empty());
  }
  CHECK(fault_of({op(kCast, {0}, {5})}).empty());
}

void test_each_subgraph_stands_for_itself() {
  const FileSubgraph sound = subgraph_of({op(kAdd, {0, 0}, {3})}, {3});
  // What the first has computed the second has not.
  const FileSubgraph broken = subgraph_of({op(kAdd, {3, 0}, {4})}, {4});
  CHECK(fault({sound, sound}).empty());
  CHECK(fault({sound, broken}) ==
        "operator number 0 of subgraph 1 reads tensor 3, which nothing has computed before");
}

void test_models() {
  for (const char* const name :
       {"add.tflite", "mlp.tflite", "while_loop.tflite", "if_else.tflite", "zero_size.tflite",
        "counter_variable.tflite", "constant_output.tflite", "output_is_input.tflite"}) {
    const std::vector<std::byte> bytes = read_file(name);
    CHECK(find_broken_data_flow(read_model_file(bytes)).empty());
  }
}

}  // namespace

int main() {
  test_computed_and_stored_tensors_may_be_read();
  test_tensor_nobody_has_computed_is_found();
  test_output_nobody_computes_is_found();
  test_changed_type_is_found();
  test_each_subgraph_stands_for_itself();
  test_models();
}
