#include "litert/runtime/model_file.h"

#include <algorithm>
#include <string>

#include "litert/runtime/flatbuffer.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

using flatbuffer::FormatError;
using flatbuffer::Table;
using flatbuffer::Vector;

constexpr int kInvalidFlatbuffer = 501;

// Field numbers in schema.fbs.
namespace field {
namespace model {
constexpr size_t kVersion = 0, kOperatorCodes = 1, kSubgraphs = 2, kBuffers = 4, kSignatureDefs = 7;
}
namespace operator_code {
constexpr size_t kDeprecatedBuiltinCode = 0, kCustomCode = 1, kBuiltinCode = 3;
}
namespace subgraph {
constexpr size_t kTensors = 0, kInputs = 1, kOutputs = 2, kOperators = 3;
}
namespace tensor {
constexpr size_t kShape = 0, kType = 1, kBuffer = 2, kName = 3, kQuantization = 4, kIsVariable = 5,
                 kShapeSignature = 7, kExternalBuffer = 10;
}
namespace quantization {
constexpr size_t kScale = 2, kZeroPoint = 3, kDetailsType = 4, kDetails = 5,
                 kQuantizedDimension = 6;
constexpr uint8_t kBlockwise = 2;
}  // namespace quantization
namespace blockwise {
constexpr size_t kScales = 0, kZeroPoints = 1, kBlockSize = 2;
}
namespace op {
constexpr size_t kOpcodeIndex = 0, kInputs = 1, kOutputs = 2;
}
namespace buffer {
constexpr size_t kData = 0, kOffset = 1, kSize = 2;
}
namespace signature {
constexpr size_t kInputs = 0, kOutputs = 1, kKey = 2, kSubgraph = 4;
}
namespace tensor_map {
constexpr size_t kName = 0, kTensorIndex = 1;
}
}  // namespace field

struct OperatorCode {
  int32_t builtin = 0;
  std::string_view custom;
};

// The schema numbers types without gaps from 0; LiteRtElementType has its own order of the first.
LiteRtElementType element_type(int8_t schema_type) {
  switch (schema_type) {
    case 0:
      return kLiteRtElementTypeFloat32;
    case 1:
      return kLiteRtElementTypeFloat16;
    default:
      break;
  }
  const int number = schema_type < 10 ? schema_type : schema_type + 1;
  return number >= 0 && number <= kLiteRtElementTypeFloat8E5M2
             ? static_cast<LiteRtElementType>(number)
             : kLiteRtElementTypeNone;
}

template <typename T>
std::vector<T> copy(const Vector<T>& values) {
  std::vector<T> copied(values.size());
  for (size_t i = 0; i < copied.size(); ++i) {
    copied[i] = values[i];
  }
  return copied;
}

void read_quantization(const Table& table, FileTensor& tensor) {
  namespace f = field::quantization;
  tensor.scales = copy(table.vector<float>(f::kScale));
  tensor.zero_points = copy(table.vector<int64_t>(f::kZeroPoint));
  tensor.quantized_dimension = table.scalar<int32_t>(f::kQuantizedDimension, 0);
  const uint8_t details_type = table.scalar<uint8_t>(f::kDetailsType, 0);
  tensor.has_details = details_type != 0;
  tensor.is_quantized = details_type != 0 || !tensor.scales.empty();
  tensor.is_blockwise = details_type == f::kBlockwise && table.has(f::kDetails);
  if (tensor.is_blockwise) {
    const Table details = table.table(f::kDetails);
    tensor.block_scales = details.scalar<int32_t>(field::blockwise::kScales, 0);
    tensor.block_zero_points = details.scalar<int32_t>(field::blockwise::kZeroPoints, 0);
    tensor.block_size = details.scalar<int32_t>(field::blockwise::kBlockSize, 0);
  }
}

FileTensor read_tensor(const Table& table, const std::vector<bool>& buffer_has_data) {
  namespace f = field::tensor;
  FileTensor tensor;
  tensor.name = table.string(f::kName);
  tensor.element_type = element_type(table.scalar<int8_t>(f::kType, 0));
  tensor.shape = copy(table.vector<int32_t>(f::kShape));
  tensor.signature = copy(table.vector<int32_t>(f::kShapeSignature));
  if (tensor.signature.size() != tensor.shape.size()) {
    tensor.signature = tensor.shape;
  }
  tensor.is_variable = table.scalar<uint8_t>(f::kIsVariable, 0) != 0;
  const uint32_t buffer = table.scalar<uint32_t>(f::kBuffer, 0);
  tensor.is_constant = (buffer < buffer_has_data.size() && buffer_has_data[buffer]) ||
                       table.scalar<uint32_t>(f::kExternalBuffer, 0) != 0 ||
                       // Without values there is no data to have.
                       std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
  if (table.has(f::kQuantization)) {
    read_quantization(table.table(f::kQuantization), tensor);
  }
  return tensor;
}

FileOperator read_operator(const Table& table, const std::vector<OperatorCode>& codes) {
  namespace f = field::op;
  const uint32_t index = table.scalar<uint32_t>(f::kOpcodeIndex, 0);
  if (index >= codes.size()) {
    throw FormatError("an operator has no operator code");
  }
  return {codes[index].builtin, codes[index].custom, copy(table.vector<int32_t>(f::kInputs)),
          copy(table.vector<int32_t>(f::kOutputs))};
}

void check_indices(const std::vector<int32_t>& indices, size_t num_tensors, bool may_be_absent) {
  for (const int32_t index : indices) {
    const bool is_absent = may_be_absent && index == -1;
    if (!is_absent && (index < 0 || static_cast<size_t>(index) >= num_tensors)) {
      throw FormatError("tensor index " + std::to_string(index) + " of " +
                        std::to_string(num_tensors));
    }
  }
}

FileSubgraph read_subgraph(const Table& table, const std::vector<OperatorCode>& codes,
                           const std::vector<bool>& buffer_has_data) {
  namespace f = field::subgraph;
  FileSubgraph subgraph;
  table.for_each_table(f::kTensors, [&](const Table& tensor) {
    subgraph.tensors.push_back(read_tensor(tensor, buffer_has_data));
  });
  table.for_each_table(f::kOperators, [&](const Table& op) {
    subgraph.operators.push_back(read_operator(op, codes));
  });
  subgraph.inputs = copy(table.vector<int32_t>(f::kInputs));
  subgraph.outputs = copy(table.vector<int32_t>(f::kOutputs));
  const size_t num_tensors = subgraph.tensors.size();
  check_indices(subgraph.inputs, num_tensors, /*may_be_absent=*/false);
  check_indices(subgraph.outputs, num_tensors, /*may_be_absent=*/false);
  for (const FileOperator& op : subgraph.operators) {
    check_indices(op.inputs, num_tensors, /*may_be_absent=*/true);
    check_indices(op.outputs, num_tensors, /*may_be_absent=*/true);
  }
  return subgraph;
}

std::vector<OperatorCode> read_operator_codes(const Table& model) {
  namespace f = field::operator_code;
  std::vector<OperatorCode> codes;
  model.for_each_table(field::model::kOperatorCodes, [&](const Table& code) {
    // Codes up to 127 stand in the old byte field as well; whichever is greater counts.
    const int32_t old_code = code.scalar<int8_t>(f::kDeprecatedBuiltinCode, 0);
    const int32_t new_code = code.scalar<int32_t>(f::kBuiltinCode, 0);
    codes.push_back({std::max(old_code, new_code), code.string(f::kCustomCode)});
  });
  return codes;
}

std::vector<bool> read_which_buffers_have_data(const Table& model) {
  namespace f = field::buffer;
  std::vector<bool> has_data;
  model.for_each_table(field::model::kBuffers, [&](const Table& buffer) {
    // An offset of 1 or less is a placeholder: the data is in the table.
    has_data.push_back(
        buffer.vector<std::byte>(f::kData).size() > 0 ||
        (buffer.scalar<uint64_t>(f::kOffset, 0) > 1 && buffer.scalar<uint64_t>(f::kSize, 0) > 0));
  });
  return has_data;
}

// Calls `visit(name, tensor index)` for the inputs or outputs of a signature.
template <typename Visit>
void for_each_name(const Table& signature, size_t which, size_t num_tensors, Visit visit) {
  signature.for_each_table(which, [&](const Table& entry) {
    const uint32_t index = entry.scalar<uint32_t>(field::tensor_map::kTensorIndex, 0);
    if (index >= num_tensors) {
      throw FormatError("a signature names tensor " + std::to_string(index) + " of " +
                        std::to_string(num_tensors));
    }
    visit(entry.string(field::tensor_map::kName), index);
  });
}

FileSignature read_signature(const Table& table, const std::vector<FileSubgraph>& subgraphs) {
  namespace f = field::signature;
  FileSignature signature;
  signature.key = table.string(f::kKey);
  signature.subgraph = table.scalar<uint32_t>(f::kSubgraph, 0);
  if (signature.subgraph >= subgraphs.size()) {
    throw FormatError("a signature has no subgraph");
  }
  const size_t num_tensors = subgraphs[signature.subgraph].tensors.size();
  const auto read_names = [&](size_t which) {
    std::vector<std::pair<std::string_view, uint32_t>> names;
    for_each_name(table, which, num_tensors,
                  [&](std::string_view name, uint32_t index) { names.emplace_back(name, index); });
    return names;
  };
  signature.inputs = read_names(f::kInputs);
  signature.outputs = read_names(f::kOutputs);
  return signature;
}

SignaturePorts read_ports(const flatbuffer::Buffer& buffer, const Table& model,
                          const Table& signature) {
  namespace f = field::signature;
  const Vector<uint32_t> subgraphs = model.vector<uint32_t>(field::model::kSubgraphs);
  const size_t subgraph_index = signature.scalar<uint32_t>(f::kSubgraph, 0);
  if (subgraph_index >= subgraphs.size()) {
    throw FormatError("a signature has no subgraph");
  }
  const Table subgraph(buffer, buffer.follow(subgraphs.position(subgraph_index)));
  const Vector<uint32_t> tensors = subgraph.vector<uint32_t>(field::subgraph::kTensors);
  SignaturePorts ports{signature.string(f::kKey), {}, {}};
  const auto read = [&](size_t which, auto& named) {
    for_each_name(signature, which, tensors.size(), [&](std::string_view name, uint32_t index) {
      const Table tensor(buffer, buffer.follow(tensors.position(index)));
      named.emplace_back(name, read_tensor(tensor, {}));
    });
  };
  read(f::kInputs, ports.inputs);
  read(f::kOutputs, ports.outputs);
  return ports;
}

// Calls `read(buffer, model)`, and names damaged bytes as such.
template <typename Read>
auto read_checked(std::span<const std::byte> bytes, Read read) {
  try {
    const flatbuffer::Buffer buffer(bytes);
    return read(buffer, Table::root(buffer));
  } catch (const FormatError& error) {
    throw StatusError(kInvalidFlatbuffer, std::string("damaged model: ") + error.what());
  }
}

}  // namespace

std::vector<SignaturePorts> read_signature_ports(std::span<const std::byte> bytes) {
  return read_checked(bytes, [](const flatbuffer::Buffer& buffer, const Table& model) {
    std::vector<SignaturePorts> signatures;
    model.for_each_table(field::model::kSignatureDefs, [&](const Table& signature) {
      signatures.push_back(read_ports(buffer, model, signature));
    });
    return signatures;
  });
}

ModelFile read_model_file(std::span<const std::byte> bytes) {
  return read_checked(bytes, [](const flatbuffer::Buffer&, const Table& model) {
    const std::vector<OperatorCode> codes = read_operator_codes(model);
    const std::vector<bool> buffer_has_data = read_which_buffers_have_data(model);
    ModelFile file;
    file.version = model.scalar<uint32_t>(field::model::kVersion, 0);
    model.for_each_table(field::model::kSubgraphs, [&](const Table& subgraph) {
      file.subgraphs.push_back(read_subgraph(subgraph, codes, buffer_has_data));
    });
    model.for_each_table(field::model::kSignatureDefs, [&](const Table& signature) {
      file.signatures.push_back(read_signature(signature, file.subgraphs));
    });
    return file;
  });
}

}  // namespace litert_native::runtime
