#include "litert/language/length_analysis.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "litert/language/dimension_rules.h"
#include "litert/language/slot_visibility.h"
#include "litert/language/storage_check.h"

namespace litert_native::language {
namespace {

// Attention calls nothing further; a damaged file could let it call itself.
constexpr int kMaxDepth = 4;
constexpr size_t kMaxVisits = size_t{1} << 24;  // of operators and their tensors

std::string describe(const PlacedOperator& op) {
  return "operator with code " + std::to_string(op.code) +
         (op.composite_name.empty() ? "" : " (" + std::string(op.composite_name) + ")");
}

uint8_t bit(size_t dim) { return static_cast<uint8_t>(1u << dim); }

// Disjoint sets of dimensions.
class DimensionSets {
 public:
  explicit DimensionSets(size_t num_tensors) : parents_(num_tensors * kMaxRank) {
    std::iota(parents_.begin(), parents_.end(), Dimension{0});
  }

  [[nodiscard]] Dimension find(Dimension member) {
    while (parents_[member] != member) {
      parents_[member] = parents_[parents_[member]];
      member = parents_[member];
    }
    return member;
  }
  void unite(Dimension left, Dimension right) { parents_[find(left)] = find(right); }

 private:
  std::vector<Dimension> parents_;
};

class Analysis {
 public:
  Analysis(const PlacedGraphs& graphs, std::span<const CachePorts> signatures, int32_t length)
      : graphs_(graphs),
        ports_(signatures),
        length_(length),
        marks_(graphs.tensors.size(), 0),
        expected_(graphs.tensors.size(), 0),
        sizes_(graphs.tensors.size(), 0),
        slot_rules_(graphs),
        slots_(graphs.tensors.size(), Slots::kVisible),
        is_reached_(graphs.subgraphs.size(), 0) {}

  LengthChanges run() {
    if (length_ < 2) {
      throw LengthRefusal("a context of " + std::to_string(length_) +
                          " has no length that could be told from other dimensions");
    }
    find_sizes();
    find_ports();
    mark();
    for (const PlacedSignature* signature : used_) {
      check_ports(graphs_.subgraphs[signature->subgraph], *signature);
      for (uint32_t mask : masks_) {
        slots_[mask] = Slots::kMasked;
      }
      walk(signature->subgraph, 0);
    }
    return place_changes({graphs_, length_, marks_, is_reached_});
  }

 private:
  // Which dimensions have the size of the length, by coincidence or not.
  void find_sizes() {
    for (size_t i = 0; i < graphs_.tensors.size(); ++i) {
      const PlacedTensor& tensor = graphs_.tensors[i];
      for (size_t j = 0; j < tensor.rank() && tensor.rank() <= kMaxRank; ++j) {
        sizes_[i] = static_cast<uint8_t>(sizes_[i] | (tensor.dim(j) == length_ ? bit(j) : 0));
      }
    }
  }

  void find_ports() {
    for (const CachePorts& ports : ports_) {
      const auto found = std::find_if(
          graphs_.signatures.begin(), graphs_.signatures.end(),
          [&](const PlacedSignature& signature) { return signature.key == ports.signature; });
      if (found == graphs_.signatures.end()) {
        throw LengthRefusal("there is no signature " + ports.signature);
      }
      used_.push_back(&*found);
      for (const CachePorts::Cache& cache : ports.caches) {
        expect(find_name(found->inputs, cache.input, ports), cache.sequence_axis, cache.input);
        expect(find_name(found->outputs, cache.output, ports), cache.sequence_axis, cache.output);
      }
      if (!ports.mask.empty()) {
        const uint32_t mask = find_name(found->inputs, ports.mask, ports);
        expect(mask, std::max<size_t>(graphs_.tensors[mask].rank(), 1) - 1, ports.mask);
        masks_.push_back(mask);
      }
    }
    if (seeds_.empty()) {
      throw LengthRefusal("there are no caches");
    }
  }

  [[nodiscard]] static uint32_t find_name(
      const std::vector<std::pair<std::string_view, uint32_t>>& names, const std::string& name,
      const CachePorts& ports) {
    const auto found =
        std::find_if(names.begin(), names.end(), [&](const auto& it) { return it.first == name; });
    if (found == names.end()) {
      throw LengthRefusal("signature " + ports.signature + " has no tensor " + name);
    }
    return found->second;
  }

  void expect(uint32_t tensor, size_t axis, const std::string& name) {
    if (axis >= kMaxRank || (sizes_[tensor] & bit(axis)) == 0) {
      throw LengthRefusal("dimension " + std::to_string(axis) + " of " + name + " is not " +
                          std::to_string(length_));
    }
    expected_[tensor] = static_cast<uint8_t>(expected_[tensor] | bit(axis));
    seeds_.push_back(dimension(tensor, axis));
  }

  // Marks all dimensions that the operators tie to those of the caches.
  void mark() {
    DimensionSets sets(graphs_.tensors.size());
    for (const PlacedSignature* signature : used_) {
      reach(signature->subgraph, sets);
    }
    for (const Dimension seed : seeds_) {
      sets.unite(seed, seeds_.front());
    }
    for (const PlacedSignature& signature : graphs_.signatures) {
      const bool is_used = std::find(used_.begin(), used_.end(), &signature) != used_.end();
      if (!is_used && is_reached_[signature.subgraph] != 0) {
        throw LengthRefusal("a subgraph is shared with a signature of another length");
      }
    }
    const Dimension context = sets.find(seeds_.front());
    for (uint32_t i = 0; i < marks_.size(); ++i) {
      for (size_t j = 0; sizes_[i] >> j != 0; ++j) {
        if ((sizes_[i] & bit(j)) != 0 && sets.find(dimension(i, j)) == context) {
          marks_[i] = static_cast<uint8_t>(marks_[i] | bit(j));
        }
      }
    }
  }

  void reach(uint32_t subgraph, DimensionSets& sets) {
    std::vector<uint32_t> open = {subgraph};
    while (!open.empty()) {
      const uint32_t index = open.back();
      open.pop_back();
      if (is_reached_[index] != 0) {
        continue;
      }
      is_reached_[index] = 1;
      for (const PlacedOperator& op : graphs_.operators_of(graphs_.subgraphs[index])) {
        if (has_size(op)) {
          find_rules(graphs_, op, length_, rules_);
          for (const auto& [left, right] : rules_.same) {
            sets.unite(left, right);
          }
        }
        if (is_attention(op)) {
          open.push_back(op.decomposition);
        }
      }
    }
  }

  [[nodiscard]] bool has_size(const PlacedOperator& op) const {
    return any_slot(op, [&](uint32_t tensor) { return sizes_[tensor] != 0; });
  }
  [[nodiscard]] bool is_marked(const PlacedOperator& op) const {
    return any_slot(op, [&](uint32_t tensor) { return marks_[tensor] != 0; });
  }
  template <typename Condition>
  [[nodiscard]] static bool any_slot(const PlacedOperator& op, Condition condition) {
    for (size_t slot = 0; slot < op.num_slots(); ++slot) {
      const uint32_t tensor = op.slot(slot);
      if (tensor != kNoTensor && condition(tensor)) {
        return true;
      }
    }
    return false;
  }

  // Caches and masks have their one dimension of the context, and nothing else goes in or out.
  void check_ports(const PlacedSubgraph& subgraph, const PlacedSignature& signature) const {
    const auto check = [&](uint32_t tensor) {
      if (marks_[tensor] != expected_[tensor]) {
        throw LengthRefusal("an input or output of signature " + std::string(signature.key) +
                            " that is no cache and no mask has the dimension of the context, or a "
                            "cache has it twice");
      }
    };
    for (size_t i = 0; i < subgraph.inputs.size(); ++i) {
      check(subgraph.input(i));
    }
    for (size_t i = 0; i < subgraph.outputs.size(); ++i) {
      check(subgraph.output(i));
    }
    for (const auto* names : {&signature.inputs, &signature.outputs}) {
      for (const auto& [name, tensor] : *names) {
        check(tensor);
      }
    }
  }

  // Checks each operator in order, with what is known of the slots beyond the context.
  void walk(uint32_t subgraph, int depth) {
    for (const PlacedOperator& op : graphs_.operators_of(graphs_.subgraphs[subgraph])) {
      num_visits_ += 1 + op.num_slots();
      if (num_visits_ > kMaxVisits) {
        throw LengthRefusal("the graph is too large to be followed");
      }
      if (is_attention(op)) {
        enter(op, depth);
      } else if (is_marked(op)) {
        find_rules(graphs_, op, length_, rules_);
        check_rules(op);
        follow_slots(op);
      }
    }
  }

  void enter(const PlacedOperator& op, int depth) {
    const PlacedSubgraph& inner = graphs_.subgraphs[op.decomposition];
    if (inner.inputs.size() != op.inputs.size() || inner.outputs.size() != op.outputs.size() ||
        depth >= kMaxDepth) {
      refuse(op);
    }
    const auto for_each_pair = [&](auto visit) {
      for (size_t slot = 0; slot < op.num_slots(); ++slot) {
        const bool is_input = slot < op.inputs.size();
        const uint32_t inside =
            is_input ? inner.input(slot) : inner.output(slot - op.inputs.size());
        const uint32_t outside = op.slot(slot);
        if (outside == kNoTensor) {
          refuse(op);
        }
        visit(outside, inside, is_input);
      }
    };
    for_each_pair([&](uint32_t outside, uint32_t inside, bool is_input) {
      if (marks_[outside] != marks_[inside]) {
        refuse(op);
      }
      if (is_input) {
        slots_[inside] = slots_[outside];
      }
    });
    walk(op.decomposition, depth + 1);
    for_each_pair([&](uint32_t outside, uint32_t inside, bool is_input) {
      if (!is_input) {
        slots_[outside] = slots_[inside];
      }
    });
  }

  // Every marked dimension has a known counterpart that is marked as well.
  void check_rules(const PlacedOperator& op) {
    for (const auto& [left, right] : rules_.same) {
      if (is_marked(left) != is_marked(right)) {
        refuse(op);
      }
    }
    for (size_t slot = 0; slot < op.num_slots(); ++slot) {
      const uint32_t tensor = op.slot(slot);
      if (tensor != kNoTensor &&
          ((marks_[tensor] & ~rules_.known[slot]) != 0 || std::popcount(marks_[tensor]) > 1)) {
        refuse(op);
      }
    }
    for (const Dimension summed : rules_.summed) {
      if (is_marked(summed) && slots_[op.slot(0)] != Slots::kZero &&
          slots_[op.slot(1)] != Slots::kZero) {
        throw LengthRefusal(
            "a sum over the context takes in slots that no mask and SOFTMAX have made zero");
      }
    }
  }

  void follow_slots(const PlacedOperator& op) {
    operand_slots_.clear();
    operand_marks_.clear();
    for (size_t slot = 0; slot < op.inputs.size(); ++slot) {
      const uint32_t tensor = op.slot(slot);
      operand_slots_.push_back(tensor == kNoTensor ? Slots::kVisible : slots_[tensor]);
      operand_marks_.push_back(tensor == kNoTensor ? uint8_t{0} : marks_[tensor]);
    }
    slots_[op.slot(op.inputs.size())] = slot_rules_.result_of(op, operand_slots_, operand_marks_);
  }

  [[nodiscard]] bool is_marked(Dimension dim) const {
    return (marks_[dim / kMaxRank] & bit(dim % kMaxRank)) != 0;
  }

  [[noreturn]] static void refuse(const PlacedOperator& op) {
    throw LengthRefusal("what an " + describe(op) +
                        " does with the dimension of the context is not known to be exact");
  }

  const PlacedGraphs& graphs_;
  const std::span<const CachePorts> ports_;
  const int32_t length_;
  std::vector<const PlacedSignature*> used_;
  std::vector<uint32_t> masks_;
  std::vector<Dimension> seeds_;
  // By tensor: a bit for each dimension that has the context, is to have it, has its size.
  std::vector<uint8_t> marks_;
  std::vector<uint8_t> expected_;
  std::vector<uint8_t> sizes_;
  SlotRules slot_rules_;
  std::vector<Slots> slots_;
  std::vector<uint8_t> is_reached_;  // by subgraph
  size_t num_visits_ = 0;
  // Reused by every operator.
  DimensionRules rules_;
  std::vector<Slots> operand_slots_;
  std::vector<uint8_t> operand_marks_;
};

}  // namespace

LengthChanges find_length_changes(const PlacedGraphs& graphs,
                                  std::span<const CachePorts> signatures, int32_t length) {
  return Analysis(graphs, signatures, length).run();
}

}  // namespace litert_native::language
