#include "litert/language/storage_check.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <string>

#include "litert/language/dimension_rules.h"

namespace litert_native::language {
namespace {

bool has_bit(uint8_t bits, size_t index) { return (bits >> index & 1) != 0; }

// 0 where an element is no whole number of bytes, or unknown.
size_t element_size(int8_t type) {
  constexpr int8_t kUint8 = 3, kInt64 = 4, kBool = 6, kInt16 = 7, kInt8 = 9;
  switch (type) {
    case tensor_type::kFloat32:
    case tensor_type::kInt32:
      return 4;
    case tensor_type::kFloat16:
    case kInt16:
      return 2;
    case kUint8:
    case kBool:
    case kInt8:
      return 1;
    case kInt64:
      return 8;
    default:
      return 0;
  }
}

bool calls_subgraphs(int32_t code) {
  using namespace operator_code;
  return code == kCall || code == kIf || code == kWhile || code == kCallOnce ||
         code == kStablehloWhile || code == kStablehloCase;
}

class StorageCheck {
 public:
  explicit StorageCheck(const MarkedGraphs& marked)
      : marked_(marked), graphs_(marked.graphs), demands_(graphs_.buffers.size(), 0) {}

  LengthChanges run() {
    check_calls();
    collect_demands();
    collect_places();
    collect_tables();
    check_vectors();
    check_buffers();
    return std::move(changes_);
  }

 private:
  [[noreturn]] static void refuse_sharing() {
    throw LengthRefusal(
        "the length is stored in one place with a number that has nothing to do with it");
  }

  // Subgraphs that have been looked at are entered in no other way.
  void check_calls() const {
    for (size_t i = 0; i < graphs_.subgraphs.size(); ++i) {
      for (const PlacedOperator& op : graphs_.operators_of(graphs_.subgraphs[i])) {
        if (calls_subgraphs(op.code)) {
          throw LengthRefusal("the model has control flow");
        }
        const bool enters_reached =
            op.decomposition != kNoSubgraph && marked_.is_reached[op.decomposition] != 0;
        if (enters_reached && !(marked_.is_reached[i] != 0 && is_attention(op))) {
          throw LengthRefusal("a subgraph is shared with a signature of another length");
        }
      }
    }
  }

  // Which entries of the constant in its shape slot the operator needs changed.
  [[nodiscard]] uint8_t demanded_entries(const PlacedOperator& op) const {
    const int slot = shape_slot(op.code);
    if (slot < 0 || op.outputs.size() != 1) {
      return 0;
    }
    const uint32_t result = op.slot(op.inputs.size());
    if (result == kNoTensor || marked_.marks[result] == 0) {
      return 0;
    }
    const bool has_slot = static_cast<size_t>(slot) < op.inputs.size();
    const std::optional<SmallConstant> shape =
        graphs_.small_constant(has_slot ? op.slot(static_cast<size_t>(slot)) : kNoTensor);
    if (!shape || shape->size != graphs_.tensors[result].rank()) {
      throw LengthRefusal("a shape with the length is not constant");
    }
    uint8_t entries = 0;
    for (size_t i = 0; i < shape->size; ++i) {
      if (has_bit(marked_.marks[result], i) && shape->values[i] != -1) {
        if (shape->values[i] != marked_.length) {
          throw LengthRefusal("a constant shape does not agree with the tensor's");
        }
        entries = static_cast<uint8_t>(entries | 1u << i);
      }
    }
    return entries;
  }

  void collect_demands() {
    for (const PlacedOperator& op : graphs_.operators) {
      if (const uint8_t entries = demanded_entries(op); entries != 0) {
        const size_t slot = static_cast<size_t>(shape_slot(op.code));
        demands_[graphs_.tensors[op.slot(slot)].buffer] = entries;
        changes_.has_shape_operands = true;
      }
    }
    for (const PlacedOperator& op : graphs_.operators) {
      for (size_t slot = 0; slot < op.num_slots(); ++slot) {
        const uint32_t tensor = op.slot(slot);
        const uint8_t demanded = tensor == kNoTensor ? 0 : demands_[buffer_of(tensor)];
        if (demanded != 0 &&
            (static_cast<int>(slot) != shape_slot(op.code) || demanded_entries(op) != demanded)) {
          refuse_sharing();
        }
      }
    }
    for (const PlacedSubgraph& subgraph : graphs_.subgraphs) {
      for (size_t i = 0; i < subgraph.inputs.size() + subgraph.outputs.size(); ++i) {
        const uint32_t tensor = i < subgraph.inputs.size()
                                    ? subgraph.input(i)
                                    : subgraph.output(i - subgraph.inputs.size());
        if (demands_[buffer_of(tensor)] != 0) {
          refuse_sharing();
        }
      }
    }
  }

  [[nodiscard]] uint32_t buffer_of(uint32_t tensor) const { return graphs_.tensors[tensor].buffer; }

  void collect_places() {
    for (size_t i = 0; i < graphs_.tensors.size(); ++i) {
      const PlacedTensor& tensor = graphs_.tensors[i];
      if (marked_.marks[i] != 0 && tensor.is_rigid) {
        throw LengthRefusal(
            "a variable, a sparse tensor or one with several scales has the dimension of the "
            "context");
      }
      for (size_t j = 0; marked_.marks[i] >> j != 0; ++j) {
        if (has_bit(marked_.marks[i], j)) {
          changes_.places.push_back(tensor.shape.position(j));
          if (j < tensor.signature.size() && tensor.signature[j] == marked_.length) {
            changes_.places.push_back(tensor.signature.position(j));
          }
        }
      }
    }
    for (size_t i = 0; i < demands_.size(); ++i) {
      for (size_t j = 0; demands_[i] >> j != 0; ++j) {
        if (has_bit(demands_[i], j)) {
          changes_.places.push_back(graphs_.buffers[i].data + j * sizeof(int32_t));
        }
      }
    }
    std::sort(changes_.places.begin(), changes_.places.end());
    changes_.places.erase(std::unique(changes_.places.begin(), changes_.places.end()),
                          changes_.places.end());
    for (size_t i = 1; i < changes_.places.size(); ++i) {
      if (changes_.places[i] - changes_.places[i - 1] < sizeof(int32_t)) {
        refuse_sharing();
      }
    }
  }

  // Constants with the dimension of the context.
  void collect_tables() {
    for (uint32_t i = 0; i < graphs_.tensors.size(); ++i) {
      if (marked_.marks[i] == 0 || graphs_.constant(i).empty()) {
        continue;
      }
      const LengthTable table = table_of(i);
      const auto [found, is_new] = tables_.try_emplace(buffer_of(i), table);
      if (!is_new && (found->second.num_blocks != table.num_blocks ||
                      found->second.block_size != table.block_size)) {
        refuse_sharing();
      }
    }
    for (uint32_t i = 0; i < graphs_.tensors.size(); ++i) {
      if (marked_.marks[i] == 0 && tables_.contains(buffer_of(i))) {
        refuse_sharing();
      }
    }
    for (const auto& [buffer, table] : tables_) {
      changes_.tables.push_back(table);
    }
  }

  [[nodiscard]] LengthTable table_of(uint32_t index) const {
    const PlacedTensor& tensor = graphs_.tensors[index];
    const PlacedBuffer& buffer = graphs_.buffers[tensor.buffer];
    const size_t axis = static_cast<size_t>(std::countr_zero(marked_.marks[index]));
    LengthTable table{buffer.data, 1, element_size(tensor.type), buffer.size_position,
                      buffer.is_size_64_bits};
    size_t left = table.block_size == 0 ? 0 : buffer.size / table.block_size;
    bool fits = table.block_size != 0 && buffer.size % table.block_size == 0;
    for (size_t i = 0; i < tensor.rank() && fits; ++i) {
      const size_t size = static_cast<size_t>(std::max(tensor.dim(i), 0));
      fits = size != 0 && left % size == 0;
      left = fits ? left / size : 0;
      if (i != axis) {
        (i < axis ? table.num_blocks : table.block_size) *= size;
      }
    }
    if (!fits || left != 1) {
      throw LengthRefusal("a constant with the dimension of the context has another size or type");
    }
    return table;
  }

  [[nodiscard]] bool is_place(size_t position) const {
    return std::binary_search(changes_.places.begin(), changes_.places.end(), position);
  }

  // Only numbers equal to the length are changed, so only those are looked up.
  void check_vectors() const {
    const auto check = [&](const Int32Vector& vector, auto is_changed) {
      for (size_t i = 0; i < vector.size(); ++i) {
        if (vector[i] == marked_.length && is_place(vector.position(i)) != is_changed(i)) {
          refuse_sharing();
        }
      }
    };
    for (size_t i = 0; i < graphs_.tensors.size(); ++i) {
      const auto is_marked = [&](size_t dim) {
        return dim < kMaxRank && has_bit(marked_.marks[i], dim);
      };
      check(graphs_.tensors[i].shape, is_marked);
      check(graphs_.tensors[i].signature, is_marked);
    }
    const auto is_never = [](size_t) { return false; };
    for (const PlacedOperator& op : graphs_.operators) {
      check(op.inputs, is_never);
      check(op.outputs, is_never);
    }
    for (const PlacedSubgraph& subgraph : graphs_.subgraphs) {
      check(subgraph.inputs, is_never);
      check(subgraph.outputs, is_never);
    }
  }

  // Data may stand anywhere in the file, so that of two buffers may overlap.
  void check_buffers() const {
    const auto places_in = [&](size_t begin, size_t size) {
      const auto first =
          std::lower_bound(changes_.places.begin(), changes_.places.end(),
                           begin < sizeof(int32_t) ? 0 : begin - sizeof(int32_t) + 1);
      return std::lower_bound(first, changes_.places.end(), begin + size) - first;
    };
    std::map<size_t, uint32_t> starts;
    for (const auto& [index, table] : tables_) {
      starts[table.data] = index;
    }
    for (uint32_t i = 0; i < graphs_.buffers.size(); ++i) {
      const PlacedBuffer& buffer = graphs_.buffers[i];
      if (buffer.size == 0) {
        continue;
      }
      if (places_in(buffer.data, buffer.size) != std::popcount(demands_[i])) {
        refuse_sharing();
      }
      // The last table that starts before this one's end reaches into it, or none does: tables are
      // checked against each other as well.
      auto before = starts.lower_bound(buffer.data + buffer.size);
      if (before != starts.begin()) {
        const uint32_t other = std::prev(before)->second;
        const PlacedBuffer& table = graphs_.buffers[other];
        if (other != i && table.data + table.size > buffer.data) {
          refuse_sharing();
        }
      }
    }
  }

  const MarkedGraphs& marked_;
  const PlacedGraphs& graphs_;
  std::vector<uint8_t> demands_;  // by buffer: a bit for each int32 entry that has to change
  std::map<uint32_t, LengthTable> tables_;  // by buffer
  LengthChanges changes_;
};

}  // namespace

LengthChanges place_changes(const MarkedGraphs& marked) { return StorageCheck(marked).run(); }

}  // namespace litert_native::language
