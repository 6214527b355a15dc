#include "litert/runtime/graph_check.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "files.h"

namespace {

using litert_native::runtime::check_graph;
using litert_native::runtime::FileOperator;
using litert_native::runtime::FileSubgraph;
using litert_native::runtime::ModelFile;
using litert_native::runtime::read_model_file;
using litert_native::tests::contains;
using litert_native::tests::read_file;

// BuiltinOperator numbers (schema.fbs).
constexpr int32_t kAdd = 0, kReshape = 22, kUnique = 103, kWhile = 119, kFuture = 250;

// Tensors 0 to 5; number 1 is a constant.
ModelFile graph_of(std::vector<FileOperator> operators) {
  FileSubgraph subgraph;
  subgraph.tensors.resize(6);
  subgraph.tensors[1].is_constant = true;
  subgraph.operators = std::move(operators);
  return {.subgraphs = {std::move(subgraph)}, .signatures = {}};
}

FileOperator op(int32_t code, std::vector<int32_t> inputs, std::vector<int32_t> outputs) {
  return {
      .code = code, .custom_name = {}, .inputs = std::move(inputs), .outputs = std::move(outputs)};
}

std::string why(std::vector<FileOperator> operators) {
  return check_graph(graph_of(std::move(operators))).unsupported;
}

void test_shapes_by_constants_are_allowed() {
  CHECK(why({op(kAdd, {0, 2}, {3})}).empty());
  CHECK(why({op(kReshape, {0, 1}, {3})}).empty());
  CHECK(why({op(kReshape, {0}, {3})}).empty());      // by its options
  CHECK(why({op(kReshape, {0, -1}, {3})}).empty());  // an operand left out
}

void test_shapes_by_values_are_refused() {
  CHECK(contains(why({op(kReshape, {0, 2}, {3})}), "RESHAPE"));
  CHECK(contains(why({op(kUnique, {0}, {3, 4})}), "UNIQUE"));
  CHECK(contains(why({op(kFuture, {0}, {3})}), "not known"));
  CHECK(contains(why({op(-1, {0}, {3})}), "not known"));
}

void test_operators_behind_control_flow_are_refused() {
  const FileOperator loop = op(kWhile, {0}, {3});
  CHECK(why({loop}).empty());
  CHECK(check_graph(graph_of({loop})).has_loops);
  CHECK(contains(why({loop, op(kAdd, {3, 2}, {4})}), "control flow"));
}

void test_variable_tensors_are_refused() {
  ModelFile file = graph_of({op(kAdd, {0, 2}, {3})});
  file.subgraphs[0].tensors[4].is_variable = true;
  file.subgraphs[0].tensors[4].name = "state";
  CHECK(contains(check_graph(file).unsupported, "state"));
}

void test_models() {
  const auto unsupported = [](const std::string& name) {
    const std::vector<std::byte> bytes = read_file(name);
    return check_graph(read_model_file(bytes)).unsupported;
  };
  for (const char* const name : {"add.tflite", "mlp.tflite", "conv.tflite", "while_loop.tflite"}) {
    CHECK(unsupported(name).empty());
  }
  for (const char* const name :
       {"where_dynamic.tflite", "unique_dynamic.tflite", "range_dynamic.tflite",
        "tile_dynamic.tflite", "dynamic_batch_stale_shape.tflite", "svdf_state.tflite"}) {
    CHECK(!unsupported(name).empty());
  }
}

}  // namespace

int main() {
  test_shapes_by_constants_are_allowed();
  test_shapes_by_values_are_refused();
  test_operators_behind_control_flow_are_refused();
  test_variable_tensors_are_refused();
  test_models();
}
