#include "litert/runtime/data_flow_check.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

namespace litert_native::runtime {
namespace {

// BuiltinOperator numbers (schema.fbs).
constexpr int32_t kReshape = 22, kSqueeze = 43, kExpandDims = 70;

// Operators whose kernels take a left-out operand (index -1), and which of theirs; the others read
// through a null pointer.
struct OptionalOperands {
  int32_t code;
  size_t first;
  size_t last;
};

constexpr size_t kAnyLast = SIZE_MAX;

constexpr OptionalOperands kOptionalOperands[] = {
    {3, 2, 2},          // CONV_2D: bias
    {4, 2, 2},          // DEPTHWISE_CONV_2D: bias
    {9, 2, 2},          // FULLY_CONNECTED: bias
    {16, 1, kAnyLast},  // LSTM
    {24, 1, kAnyLast},  // RNN
    {27, 3, 3},         // SVDF: bias
    {32, 0, kAnyLast},  // CUSTOM
    {35, 1, kAnyLast},  // UNIDIRECTIONAL_SEQUENCE_RNN
    {44, 1, kAnyLast},  // UNIDIRECTIONAL_SEQUENCE_LSTM
    {46, 1, kAnyLast},  // BIDIRECTIONAL_SEQUENCE_RNN
    {52, 1, kAnyLast},  // BIDIRECTIONAL_SEQUENCE_LSTM
    {67, 3, 3},         // TRANSPOSE_CONV: bias
    {132, 2, 2},        // CONV_3D: bias
    {141, 3, 3},        // CONV_3D_TRANSPOSE: bias
};

bool may_be_left_out(int32_t code, size_t operand) {
  return std::any_of(std::begin(kOptionalOperands), std::end(kOptionalOperands),
                     [&](const OptionalOperands& optional) {
                       return optional.code == code && operand >= optional.first &&
                              operand <= optional.last;
                     });
}

std::string place(size_t number, size_t subgraph) {
  return "operator number " + std::to_string(number) + " of subgraph " + std::to_string(subgraph);
}

std::string check_subgraph(const FileSubgraph& subgraph, size_t index) {
  const std::vector<FileTensor>& tensors = subgraph.tensors;
  std::vector<bool> is_known(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    is_known[i] = tensors[i].is_constant || tensors[i].is_variable;
  }
  for (const int32_t input : subgraph.inputs) {
    is_known[static_cast<size_t>(input)] = true;
  }
  for (size_t number = 0; number < subgraph.operators.size(); ++number) {
    const FileOperator& op = subgraph.operators[number];
    for (size_t operand = 0; operand < op.inputs.size(); ++operand) {
      const int32_t input = op.inputs[operand];
      if (input < 0 && !may_be_left_out(op.code, operand)) {
        return place(number, index) + " lacks operand " + std::to_string(operand);
      }
      if (input >= 0 && !is_known[static_cast<size_t>(input)]) {
        return place(number, index) + " reads tensor " + std::to_string(input) +
               ", which nothing has computed before";
      }
    }
    const bool keeps_type = op.code == kReshape || op.code == kSqueeze || op.code == kExpandDims;
    if (keeps_type && !op.inputs.empty() && !op.outputs.empty() && op.inputs[0] >= 0 &&
        op.outputs[0] >= 0 &&
        tensors[static_cast<size_t>(op.inputs[0])].element_type !=
            tensors[static_cast<size_t>(op.outputs[0])].element_type) {
      return place(number, index) + " changes the type of its tensor, which it cannot";
    }
    for (const int32_t output : op.outputs) {
      if (output >= 0) {
        is_known[static_cast<size_t>(output)] = true;
      }
    }
  }
  for (const int32_t output : subgraph.outputs) {
    if (!is_known[static_cast<size_t>(output)]) {
      return "nothing computes the output tensor " + std::to_string(output) + " of subgraph " +
             std::to_string(index);
    }
  }
  return {};
}

}  // namespace

std::string find_broken_data_flow(const ModelFile& file) {
  for (size_t i = 0; i < file.subgraphs.size(); ++i) {
    if (std::string fault = check_subgraph(file.subgraphs[i], i); !fault.empty()) {
      return fault;
    }
  }
  return {};
}

}  // namespace litert_native::runtime
