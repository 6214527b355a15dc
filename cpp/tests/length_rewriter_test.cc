// One layer of attention with a cache of 24 slots (tests/data/model_kinds/attention.py): what is
// found in it, what is changed, and that damaged copies never lead outside of the file. Results are
// compared in tests/test_length_rewriter.py.
#include "litert/language/length_rewriter.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "files.h"
#include "litert/language/slot_visibility.h"

namespace {

using litert_native::language::CachePorts;
using litert_native::language::is_causal_table;
using litert_native::language::LengthPlan;
using litert_native::language::LengthUse;
using litert_native::language::PlacedGraphs;
using litert_native::language::PlacedTensor;
using litert_native::tests::contains;
using litert_native::tests::error_of;
using litert_native::tests::read_file;

using Bytes = std::vector<std::byte>;

constexpr int32_t kLength = 24;
constexpr int32_t kShort = 16;

Bytes read_seed(const std::string& name) {
  return read_file("../fuzz/corpus/length_rewriter/" + name);
}

std::vector<CachePorts> ports(const std::string& mask) {
  std::vector<CachePorts> signatures;
  for (const char* key : {"prefill_4", "decode"}) {
    signatures.push_back(
        {.signature = key,
         .caches = {{"kv_cache_k_0", "kv_cache_k_0", 2}, {"kv_cache_v_0", "kv_cache_v_0", 3}},
         .mask = mask});
  }
  return signatures;
}

LengthPlan analyse(const Bytes& file, const std::string& mask) {
  return LengthPlan::analyse(file, ports(mask), kLength);
}

int count_sizes(const Bytes& file, int32_t size) {
  const PlacedGraphs graphs(file);
  int count = 0;
  for (const PlacedTensor& tensor : graphs.tensors) {
    for (size_t i = 0; i < tensor.rank(); ++i) {
      count += tensor.dim(i) == size ? 1 : 0;
    }
  }
  return count;
}

void test_mask_input_needs_no_constants() {
  const LengthPlan plan = analyse(read_seed("mask"), "mask");
  CHECK(plan.use() == LengthUse::kResizable);
  CHECK(plan.reason().empty());
  CHECK(plan.num_tables() == 0);
}

void test_shape_operands_make_it_rewritable() {
  const LengthPlan plan = analyse(read_seed("window"), "mask");
  CHECK(plan.use() == LengthUse::kRewritable);
  CHECK(plan.max_length() == kLength);
}

void test_composite_is_entered() {
  const Bytes file = read_seed("composite");
  const LengthPlan plan = analyse(file, "");
  CHECK(plan.use() == LengthUse::kRewritable);
  // The rows of the table stay; the constant shape of its reshaped rows changes.
  CHECK(plan.num_places() == static_cast<size_t>(count_sizes(file, kLength)));
}

void test_every_size_with_the_length_is_changed() {
  Bytes file = read_seed("mask");
  const LengthPlan plan = analyse(file, "mask");
  CHECK(plan.num_places() == static_cast<size_t>(count_sizes(file, kLength)));
  plan.apply(file, kShort);
  CHECK(count_sizes(file, kLength) == 0);
  CHECK(analyse(read_seed("mask"), "mask").num_places() ==
        LengthPlan::analyse(file, ports("mask"), kShort).num_places());
}

void test_only_the_length_is_changed() {
  const Bytes before = read_seed("mask");
  Bytes file = before;
  const LengthPlan plan = analyse(file, "mask");
  plan.apply(file, kShort);
  size_t num_changed = 0;
  for (size_t i = 0; i < file.size(); ++i) {
    CHECK(file[i] == before[i] ||
          (before[i] == std::byte{kLength} && file[i] == std::byte{kShort}));
    num_changed += file[i] != before[i] ? 1 : 0;
  }
  CHECK(num_changed == plan.num_places());
}

void test_table_keeps_the_first_entries_of_each_row() {
  Bytes file = read_seed("table");
  analyse(file, "").apply(file, kShort);
  const PlacedGraphs graphs(file);
  const auto table =
      std::find_if(graphs.tensors.begin(), graphs.tensors.end(), [](const PlacedTensor& tensor) {
        return tensor.rank() == 4 && tensor.dim(0) == kLength && tensor.dim(3) == kShort;
      });
  CHECK(table != graphs.tensors.end());
  const uint32_t index = static_cast<uint32_t>(table - graphs.tensors.begin());
  const std::span<const std::byte> data = graphs.constant(index);
  CHECK(data.size() == sizeof(float) * kLength * kShort);
  for (size_t row = 0; row < kLength; ++row) {
    for (size_t column = 0; column < kShort; ++column) {
      float value = 0;
      std::memcpy(&value, data.data() + (row * kShort + column) * sizeof(float), sizeof(value));
      CHECK((value < 0) == (column > row));
    }
  }
  CHECK(is_causal_table(graphs, index));
}

void test_missing_mask_is_fixed() {
  const LengthPlan plan = analyse(read_seed("mask"), "");
  CHECK(plan.use() == LengthUse::kFixed);
  CHECK(contains(plan.reason(), "no cache and no mask"));
  CHECK(plan.max_length() == kLength);
}

void test_length_out_of_range_is_refused() {
  Bytes file = read_seed("table");
  const LengthPlan plan = analyse(file, "");
  for (const int32_t length : {-1, 0, kLength + 1}) {
    CHECK(error_of([&] { plan.apply(file, length); }).status() == 1);
  }
  CHECK(file == read_seed("table"));
}

void test_other_bytes_are_refused() {
  Bytes file = read_seed("table");
  const LengthPlan plan = analyse(file, "");
  plan.apply(file, kShort);
  const Bytes once = file;
  CHECK(error_of([&] { plan.apply(file, kShort); }).status() == 1);
  CHECK(file == once);
  file.pop_back();
  CHECK(error_of([&] { plan.apply(file, kShort); }).status() == 1);
}

// Whatever the bytes: damaged, or a plan that stays inside of the file. Runs under sanitizers.
void check_safety(const Bytes& file) {
  const auto error = error_of([&] {
    const LengthPlan plan = analyse(file, "");
    Bytes copy = file;
    plan.apply(copy, plan.use() == LengthUse::kFixed ? kLength : kShort);
  });
  CHECK(error.status() == 0 || error.status() == 501);
}

void test_truncated_file_is_safe() {
  const Bytes file = read_seed("composite");
  for (size_t size = 0; size < file.size(); size += 3) {
    check_safety({file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)});
  }
  CHECK(error_of([] { (void)analyse({}, ""); }).status() == 501);
}

void test_changed_bytes_are_safe() {
  const Bytes file = read_seed("composite");
  std::mt19937 random(1);
  const int num_rounds = std::getenv("LITERT_TEST_FULL") == nullptr ? 3000 : 300000;
  for (int round = 0; round < num_rounds; ++round) {
    Bytes changed = file;
    for (int i = 0; i < 3; ++i) {
      changed[random() % changed.size()] = static_cast<std::byte>(random());
    }
    check_safety(changed);
  }
}

}  // namespace

int main() {
  test_mask_input_needs_no_constants();
  test_shape_operands_make_it_rewritable();
  test_composite_is_entered();
  test_every_size_with_the_length_is_changed();
  test_only_the_length_is_changed();
  test_table_keeps_the_first_entries_of_each_row();
  test_missing_mask_is_fixed();
  test_length_out_of_range_is_refused();
  test_other_bytes_are_refused();
  test_truncated_file_is_safe();
  test_changed_bytes_are_safe();
}
