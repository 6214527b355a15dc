#include "litert/language/graph_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

using runtime::flatbuffer::Buffer;
using runtime::flatbuffer::FormatError;
using runtime::flatbuffer::Table;
using runtime::flatbuffer::Vector;

constexpr int kInvalidFlatbuffer = 501;
// Far above what a language model has.
constexpr size_t kMaxEntries = size_t{1} << 24;

// Field numbers in schema.fbs.
namespace field {
namespace model {
constexpr size_t kOperatorCodes = 1, kSubgraphs = 2, kBuffers = 4, kSignatureDefs = 7;
}
namespace operator_code {
constexpr size_t kDeprecatedBuiltinCode = 0, kBuiltinCode = 3;
}
namespace subgraph {
constexpr size_t kTensors = 0, kInputs = 1, kOutputs = 2, kOperators = 3;
}
namespace tensor {
constexpr size_t kShape = 0, kType = 1, kBuffer = 2, kQuantization = 4, kIsVariable = 5,
                 kSparsity = 6, kShapeSignature = 7, kVariantTensors = 9, kExternalBuffer = 10;
}
namespace quantization {
constexpr size_t kScale = 2, kDetailsType = 4;
}
namespace op {
constexpr size_t kOpcodeIndex = 0, kInputs = 1, kOutputs = 2, kOptions = 4, kOptions2 = 12;
}
namespace composite {
constexpr size_t kName = 0, kSubgraph = 1;
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

bool is_rigid(const Table& tensor) {
  namespace f = field::tensor;
  if (tensor.scalar<uint8_t>(f::kIsVariable, 0) != 0 || tensor.has(f::kSparsity) ||
      tensor.has(f::kVariantTensors) || tensor.scalar<uint32_t>(f::kExternalBuffer, 0) != 0) {
    return true;
  }
  if (!tensor.has(f::kQuantization)) {
    return false;
  }
  const Table quantization = tensor.table(f::kQuantization);
  return quantization.scalar<uint8_t>(field::quantization::kDetailsType, 0) != 0 ||
         quantization.vector<float>(field::quantization::kScale).size() > 1;
}

}  // namespace

// Fills a PlacedGraphs. Tables and vectors may be shared, so a small file could stand for graphs
// without end: no more is read than a file of this size has room for.
class PlacedGraphs::Reader {
 public:
  Reader(PlacedGraphs& graphs, size_t file_size)
      : graphs_(graphs), left_(std::min(file_size, kMaxEntries)) {}

  void read() {
    const Table model = Table::root(graphs_.file_);
    for_each(model, field::model::kOperatorCodes, [&](const Table& code) {
      namespace f = field::operator_code;
      // Codes up to 127 stand in the old byte field as well; whichever is greater counts.
      codes_.push_back(std::max<int32_t>(code.scalar<int8_t>(f::kDeprecatedBuiltinCode, 0),
                                         code.scalar<int32_t>(f::kBuiltinCode, 0)));
    });
    for_each(model, field::model::kBuffers, [&](const Table& buffer) { read_buffer(buffer); });
    for_each(model, field::model::kSubgraphs, [&](const Table& graph) { read_subgraph(graph); });
    for (const PlacedOperator& op : graphs_.operators) {
      if (op.decomposition != kNoSubgraph && op.decomposition >= graphs_.subgraphs.size()) {
        throw FormatError("a composite has no subgraph");
      }
    }
    for_each(model, field::model::kSignatureDefs,
             [&](const Table& signature) { read_signature(signature); });
  }

 private:
  void spend(size_t amount) {
    if (amount > left_) {
      throw FormatError("more tables and indices than the file has room for");
    }
    left_ -= amount;
  }

  template <typename Visit>
  void for_each(const Table& table, size_t which, Visit visit) {
    table.for_each_table(which, [&](const Table& entry) {
      spend(1);
      visit(entry);
    });
  }

  void read_buffer(const Table& table) {
    namespace f = field::buffer;
    PlacedBuffer buffer;
    const Vector<std::byte> data = table.vector<std::byte>(f::kData);
    const uint64_t offset = table.scalar<uint64_t>(f::kOffset, 0);
    // An offset of 1 or less is a placeholder: the data is in the table.
    if (data.size() > 0) {
      buffer = {data.position(0), data.size(), data.position(0) - sizeof(uint32_t), false};
    } else if (offset > 1) {
      const uint64_t size = table.scalar<uint64_t>(f::kSize, 0);
      (void)graphs_.file_.slice(offset, size);
      buffer = {static_cast<size_t>(offset), static_cast<size_t>(size),
                table.field_position(f::kSize), true};
    }
    graphs_.buffers.push_back(buffer);
  }

  void read_subgraph(const Table& table) {
    namespace f = field::subgraph;
    PlacedSubgraph subgraph;
    subgraph.first_tensor = static_cast<uint32_t>(graphs_.tensors.size());
    subgraph.first_operator = graphs_.operators.size();
    for_each(table, f::kTensors, [&](const Table& tensor) {
      PlacedTensor read;
      read.shape = tensor.vector<int32_t>(field::tensor::kShape);
      read.signature = tensor.vector<int32_t>(field::tensor::kShapeSignature);
      read.buffer = tensor.scalar<uint32_t>(field::tensor::kBuffer, 0);
      read.type = tensor.scalar<int8_t>(field::tensor::kType, 0);
      read.is_rigid = is_rigid(tensor);
      if (read.buffer >= std::max<size_t>(graphs_.buffers.size(), 1)) {
        throw FormatError("a tensor has no buffer");
      }
      spend(read.shape.size() + read.signature.size());
      graphs_.tensors.push_back(read);
    });
    subgraph.num_tensors = static_cast<uint32_t>(graphs_.tensors.size()) - subgraph.first_tensor;
    subgraph.inputs = indices(table, f::kInputs, subgraph, /*may_be_absent=*/false);
    subgraph.outputs = indices(table, f::kOutputs, subgraph, /*may_be_absent=*/false);
    for_each(table, f::kOperators,
             [&](const Table& op) { graphs_.operators.push_back(read_operator(op, subgraph)); });
    subgraph.num_operators = graphs_.operators.size() - subgraph.first_operator;
    graphs_.subgraphs.push_back(subgraph);
  }

  PlacedOperator read_operator(const Table& table, const PlacedSubgraph& subgraph) {
    namespace f = field::op;
    const uint32_t code = table.scalar<uint32_t>(f::kOpcodeIndex, 0);
    if (code >= codes_.size()) {
      throw FormatError("an operator has no operator code");
    }
    PlacedOperator op;
    op.code = codes_[code];
    op.position = table.position();
    op.first_tensor = subgraph.first_tensor;
    op.inputs = indices(table, f::kInputs, subgraph, /*may_be_absent=*/true);
    op.outputs = indices(table, f::kOutputs, subgraph, /*may_be_absent=*/true);
    if (op.code == operator_code::kComposite && table.has(f::kOptions2)) {
      const Table options = table.table(f::kOptions2);
      op.composite_name = options.string(field::composite::kName);
      op.decomposition = options.scalar<uint32_t>(field::composite::kSubgraph, 0);
    }
    return op;
  }

  Int32Vector indices(const Table& table, size_t which, const PlacedSubgraph& subgraph,
                      bool may_be_absent) {
    const Int32Vector vector = table.vector<int32_t>(which);
    spend(vector.size());
    for (size_t i = 0; i < vector.size(); ++i) {
      const int32_t index = vector[i];
      if (!(may_be_absent && index == -1) &&
          (index < 0 || static_cast<uint32_t>(index) >= subgraph.num_tensors)) {
        throw FormatError("tensor index " + std::to_string(index) + " of " +
                          std::to_string(subgraph.num_tensors));
      }
    }
    return vector;
  }

  void read_signature(const Table& table) {
    namespace f = field::signature;
    PlacedSignature signature;
    signature.key = table.string(f::kKey);
    signature.subgraph = table.scalar<uint32_t>(f::kSubgraph, 0);
    if (signature.subgraph >= graphs_.subgraphs.size()) {
      throw FormatError("a signature has no subgraph");
    }
    const PlacedSubgraph& subgraph = graphs_.subgraphs[signature.subgraph];
    const auto read_names = [&](size_t which) {
      std::vector<std::pair<std::string_view, uint32_t>> names;
      for_each(table, which, [&](const Table& entry) {
        const uint32_t index = entry.scalar<uint32_t>(field::tensor_map::kTensorIndex, 0);
        if (index >= subgraph.num_tensors) {
          throw FormatError("a signature names tensor " + std::to_string(index) + " of " +
                            std::to_string(subgraph.num_tensors));
        }
        names.emplace_back(entry.string(field::tensor_map::kName), subgraph.first_tensor + index);
      });
      return names;
    };
    signature.inputs = read_names(f::kInputs);
    signature.outputs = read_names(f::kOutputs);
    graphs_.signatures.push_back(std::move(signature));
  }

  PlacedGraphs& graphs_;
  size_t left_;
  std::vector<int32_t> codes_;
};

uint32_t PlacedOperator::slot(size_t index) const {
  const int32_t tensor = index < inputs.size() ? inputs[index] : outputs[index - inputs.size()];
  return tensor < 0 ? kNoTensor : first_tensor + static_cast<uint32_t>(tensor);
}

PlacedGraphs::PlacedGraphs(std::span<const std::byte> file) : file_(file) {
  try {
    Reader(*this, file.size()).read();
  } catch (const FormatError& error) {
    throw runtime::StatusError(kInvalidFlatbuffer, std::string("damaged model: ") + error.what());
  }
}

std::span<const std::byte> PlacedGraphs::constant(uint32_t tensor) const {
  const uint32_t index = tensors[tensor].buffer;
  // Buffer 0 is that of all tensors without data.
  if (index == 0) {
    return {};
  }
  return file_.slice(buffers[index].data, buffers[index].size);
}

std::optional<SmallConstant> PlacedGraphs::small_constant(uint32_t tensor) const {
  if (tensor == kNoTensor || tensors[tensor].type != tensor_type::kInt32) {
    return std::nullopt;
  }
  const std::span<const std::byte> bytes = constant(tensor);
  SmallConstant constant;
  constant.size = bytes.size() / sizeof(int32_t);
  const Int32Vector& shape = tensors[tensor].shape;
  const bool fits = shape.size() == 0 ? constant.size == 1
                                      : shape.size() == 1 && shape[0] >= 0 &&
                                            constant.size == static_cast<size_t>(shape[0]);
  if (!fits || constant.size > kMaxRank || bytes.size() % sizeof(int32_t) != 0) {
    return std::nullopt;
  }
  if (!bytes.empty()) {
    std::memcpy(constant.values.data(), bytes.data(), bytes.size());
  }
  return constant;
}

template <typename T>
T PlacedGraphs::option(const PlacedOperator& op, size_t field, T absent) const {
  try {
    const Table table(file_, op.position);
    return table.has(field::op::kOptions)
               ? table.table(field::op::kOptions).scalar<T>(field, absent)
               : absent;
  } catch (const FormatError& error) {
    throw runtime::StatusError(kInvalidFlatbuffer, std::string("damaged model: ") + error.what());
  }
}

template uint8_t PlacedGraphs::option(const PlacedOperator&, size_t, uint8_t) const;
template int32_t PlacedGraphs::option(const PlacedOperator&, size_t, int32_t) const;
template float PlacedGraphs::option(const PlacedOperator&, size_t, float) const;

}  // namespace litert_native::language
