#include "litert/language/length_rewriter.h"

#include <cstring>
#include <limits>

#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

using runtime::StatusError;

constexpr int kInvalidArgument = 1;

template <typename T>
T read_at(std::span<const std::byte> file, size_t position) {
  T value;
  std::memcpy(&value, file.subspan(position, sizeof(T)).data(), sizeof(T));
  return value;
}

template <typename T>
void write_at(std::span<std::byte> file, size_t position, T value) {
  std::memcpy(file.subspan(position, sizeof(T)).data(), &value, sizeof(T));
}

uint64_t stored_size(std::span<const std::byte> file, const LengthTable& table) {
  return table.is_size_64_bits ? read_at<uint64_t>(file, table.size_position)
                               : read_at<uint32_t>(file, table.size_position);
}

// Moves the first entries of each block together, to the front.
void shorten(std::span<std::byte> file, const LengthTable& table, size_t length,
             size_t new_length) {
  const size_t stride = length * table.block_size;
  const size_t kept = new_length * table.block_size;
  const std::span<std::byte> data = file.subspan(table.data, table.num_blocks * stride);
  for (size_t i = 1; i < table.num_blocks; ++i) {
    std::memmove(data.data() + i * kept, data.data() + i * stride, kept);
  }
  const uint64_t size = table.num_blocks * kept;
  if (table.is_size_64_bits) {
    write_at(file, table.size_position, size);
  } else {
    write_at(file, table.size_position, static_cast<uint32_t>(size));
  }
}

}  // namespace

LengthPlan LengthPlan::analyse(std::span<const std::byte> file,
                               std::span<const CachePorts> signatures, int32_t length) {
  LengthPlan plan;
  plan.length_ = length;
  plan.file_size_ = file.size();
  const PlacedGraphs graphs(file);
  try {
    plan.changes_ = find_length_changes(graphs, signatures, length);
    const bool has_constants = plan.changes_.has_shape_operands || !plan.changes_.tables.empty();
    plan.use_ = has_constants ? LengthUse::kRewritable : LengthUse::kResizable;
  } catch (const LengthRefusal& refusal) {
    plan.reason_ = refusal.what();
  }
  return plan;
}

int32_t LengthPlan::max_length() const {
  return use_ == LengthUse::kFixed || !changes_.tables.empty()
             ? length_
             : std::numeric_limits<int32_t>::max();
}

void LengthPlan::apply(std::span<std::byte> file, int32_t new_length) const {
  const int32_t min_length = use_ == LengthUse::kFixed ? length_ : 1;
  if (new_length < min_length || new_length > max_length()) {
    throw StatusError(kInvalidArgument, "a context length of " + std::to_string(new_length) +
                                            "; expected " + std::to_string(min_length) + " to " +
                                            std::to_string(max_length()) +
                                            (reason_.empty() ? "" : ": " + reason_));
  }
  bool is_the_same = file.size() == file_size_;
  for (size_t i = 0; is_the_same && i < changes_.places.size(); ++i) {
    is_the_same = read_at<int32_t>(file, changes_.places[i]) == length_;
  }
  const size_t length = static_cast<size_t>(length_);
  for (size_t i = 0; is_the_same && i < changes_.tables.size(); ++i) {
    const LengthTable& table = changes_.tables[i];
    is_the_same = stored_size(file, table) == table.num_blocks * length * table.block_size;
  }
  if (!is_the_same) {
    throw StatusError(kInvalidArgument,
                      "the length can be changed once, in a copy of the analysed file; these bytes "
                      "are none");
  }
  for (const LengthTable& table : changes_.tables) {
    shorten(file, table, length, static_cast<size_t>(new_length));
  }
  for (const size_t place : changes_.places) {
    write_at(file, place, new_length);
  }
}

}  // namespace litert_native::language
