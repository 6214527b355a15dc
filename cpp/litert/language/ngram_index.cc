#include "litert/language/ngram_index.h"

#include <algorithm>

namespace litert_native::language {
namespace {

constexpr int kSlotBits = 12;

}  // namespace

NgramIndex::NgramIndex(size_t n) : n_(n), heads_(n > 0 ? size_t{1} << kSlotBits : 0, kNone) {}

void NgramIndex::clear() {
  ids_.clear();
  previous_.clear();
  std::fill(heads_.begin(), heads_.end(), kNone);
}

void NgramIndex::reserve(size_t num_ids) {
  if (n_ > 0) {
    ids_.reserve(num_ids);
    previous_.reserve(num_ids);
  }
}

void NgramIndex::add(int32_t id) {
  if (n_ == 0) {
    return;
  }
  const size_t context = n_ - 1;
  int32_t older = kNone;
  if (ids_.size() >= context) {
    int32_t& head = heads_[slot_of(std::span(ids_).last(context))];
    older = head;
    head = static_cast<int32_t>(ids_.size());
  }
  previous_.push_back(older);
  ids_.push_back(id);
}

size_t NgramIndex::slot_of(std::span<const int32_t> ids) {
  uint64_t hash = 0;
  for (const int32_t id : ids) {
    hash = (hash ^ static_cast<uint32_t>(id)) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 32;
  }
  return static_cast<size_t>(hash & ((uint64_t{1} << kSlotBits) - 1));
}

bool NgramIndex::is_same(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace litert_native::language
