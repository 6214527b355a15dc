#include "litert/runtime/graph_check.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>

namespace litert_native::runtime {
namespace {

// How an operator's output shapes come about. Numbers are BuiltinOperator (schema.fbs); operators
// not listed have shapes that follow from the shapes of their inputs.
struct ShapeRule {
  int code;
  const char* name;
  // Operands whose values decide the output shape: harmless as constants.
  std::initializer_list<size_t> operands;
};

constexpr int kNumKnownOperators = 210;

constexpr int kCall = 31, kIf = 118, kWhile = 119, kReadVariable = 143, kStablehloWhile = 200,
              kStablehloCase = 209;

const std::array kValueDependent = {
    ShapeRule{22, "RESHAPE", {1}},
    ShapeRule{23, "RESIZE_BILINEAR", {1}},
    ShapeRule{34, "PAD", {1}},
    ShapeRule{37, "BATCH_TO_SPACE_ND", {1, 2}},
    ShapeRule{38, "SPACE_TO_BATCH_ND", {1, 2}},
    ShapeRule{39, "TRANSPOSE", {1}},
    ShapeRule{40, "MEAN", {1}},
    ShapeRule{45, "STRIDED_SLICE", {1, 2, 3}},
    ShapeRule{48, "TOPK_V2", {1}},
    ShapeRule{49, "SPLIT", {0}},
    ShapeRule{56, "ARG_MAX", {1}},
    ShapeRule{60, "PADV2", {1}},
    ShapeRule{65, "SLICE", {1, 2}},
    ShapeRule{67, "TRANSPOSE_CONV", {0}},
    ShapeRule{68, "SPARSE_TO_DENSE", {1}},
    ShapeRule{69, "TILE", {1}},
    ShapeRule{70, "EXPAND_DIMS", {1}},
    ShapeRule{74, "SUM", {1}},
    ShapeRule{79, "ARG_MIN", {1}},
    ShapeRule{81, "REDUCE_PROD", {1}},
    ShapeRule{82, "REDUCE_MAX", {1}},
    ShapeRule{85, "ONE_HOT", {1}},
    ShapeRule{89, "REDUCE_MIN", {1}},
    ShapeRule{91, "REDUCE_ANY", {1}},
    ShapeRule{94, "FILL", {0}},
    ShapeRule{96, "RANGE", {0, 1, 2}},
    ShapeRule{97, "RESIZE_NEAREST_NEIGHBOR", {1}},
    ShapeRule{100, "MIRROR_PAD", {1}},
    ShapeRule{102, "SPLIT_V", {1, 2}},
    ShapeRule{120, "NON_MAX_SUPPRESSION_V4", {2}},
    ShapeRule{121, "NON_MAX_SUPPRESSION_V5", {2}},
    ShapeRule{122, "SCATTER_ND", {2}},
    ShapeRule{125, "SEGMENT_SUM", {1}},
    ShapeRule{130, "BROADCAST_TO", {1}},
    ShapeRule{131, "RFFT2D", {1}},
    ShapeRule{140, "REDUCE_ALL", {1}},
    ShapeRule{141, "CONV_3D_TRANSPOSE", {0}},
    ShapeRule{146, "RANDOM_STANDARD_NORMAL", {0}},
    ShapeRule{148, "RANDOM_UNIFORM", {0}},
    ShapeRule{149, "MULTINOMIAL", {1}},
    ShapeRule{153, "UNSORTED_SEGMENT_PROD", {2}},
    ShapeRule{154, "UNSORTED_SEGMENT_MAX", {2}},
    ShapeRule{155, "UNSORTED_SEGMENT_SUM", {2}},
    ShapeRule{157, "UNSORTED_SEGMENT_MIN", {2}},
    ShapeRule{203, "DILATE", {1}},
};

// Operators whose output shape always depends on values.
const std::array kAlwaysDynamic = {
    ShapeRule{10, "HASHTABLE_LOOKUP", {}}, ShapeRule{15, "LSH_PROJECTION", {}},
    ShapeRule{30, "SKIP_GRAM", {}},        ShapeRule{33, "EMBEDDING_LOOKUP_SPARSE", {}},
    ShapeRule{103, "UNIQUE", {}},          ShapeRule{109, "WHERE", {}},
};

// What the library refuses to load, wherever in the graph it stands.
std::string check_tensor(const FileTensor& tensor) {
  std::string name = "'";
  name.append(tensor.name).push_back('\'');
  if (tensor.is_variable) {
    return "variable tensor " + name;
  }
  if (tensor.shape.size() > LITERT_TENSOR_MAX_RANK) {
    return "tensor " + name + " has rank " + std::to_string(tensor.shape.size()) + ", above 8";
  }
  if (tensor.element_type == kLiteRtElementTypeComplex128) {
    return "complex128 tensor " + name;
  }
  return {};
}

std::string check_operator(const FileOperator& op, const std::vector<FileTensor>& tensors) {
  if (op.code < 0 || op.code >= kNumKnownOperators) {
    return "operator " + std::to_string(op.code) + " is not known to this version";
  }
  for (const ShapeRule& rule : kAlwaysDynamic) {
    if (rule.code == op.code) {
      return std::string("the output shape of ") + rule.name + " depends on data";
    }
  }
  if (op.code == kReadVariable) {
    return "the shape of a resource variable (READ_VARIABLE) is known only at run time";
  }
  for (const ShapeRule& rule : kValueDependent) {
    if (rule.code != op.code) {
      continue;
    }
    for (const size_t operand : rule.operands) {
      if (operand < op.inputs.size() && op.inputs[operand] >= 0 &&
          !tensors[static_cast<size_t>(op.inputs[operand])].is_constant) {
        return std::string("the output shape of ") + rule.name + " is computed at run time";
      }
    }
  }
  return {};
}

// Not STABLEHLO_COMPOSITE: its one body, whose operators are checked as all others, is all it runs.
bool is_control_flow(int code) {
  return code == kCall || code == kIf || code == kWhile || code == kStablehloWhile ||
         code == kStablehloCase;
}

// What leaves a branch or loop has the shape that its body gave it. As an output of the model the
// library checks it; on its way through further operators it does not.
std::string check_control_flow(const FileSubgraph& subgraph) {
  std::set<int32_t> from_control_flow;
  for (const FileOperator& op : subgraph.operators) {
    if (std::any_of(op.inputs.begin(), op.inputs.end(),
                    [&](int32_t input) { return from_control_flow.contains(input); })) {
      return "operators follow on control flow, whose output shapes are known only at run time";
    }
    if (is_control_flow(op.code)) {
      from_control_flow.insert(op.outputs.begin(), op.outputs.end());
    }
  }
  return {};
}

}  // namespace

GraphFacts check_graph(const ModelFile& file) {
  GraphFacts facts;
  for (const FileSubgraph& subgraph : file.subgraphs) {
    for (const FileTensor& tensor : subgraph.tensors) {
      if (facts.unsupported.empty()) {
        facts.unsupported = check_tensor(tensor);
      }
    }
    for (const FileOperator& op : subgraph.operators) {
      facts.has_loops |= op.code == kWhile || op.code == kStablehloWhile;
      if (facts.unsupported.empty()) {
        facts.unsupported = check_operator(op, subgraph.tensors);
      }
    }
    if (facts.unsupported.empty()) {
      facts.unsupported = check_control_flow(subgraph);
    }
  }
  return facts;
}

}  // namespace litert_native::runtime
