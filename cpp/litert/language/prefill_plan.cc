#include "litert/language/prefill_plan.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace litert_native::language {
namespace {

// A run at so much shorter a length saves more than the resize costs.
constexpr double kWorthResizing = 1.4;

// A run takes memory for the scores of its rows. So that of two ways that take about as long the
// one with fewer rows is chosen, one of so many rows counts as twice as long.
constexpr double kRowsThatDouble = 2000;

// Estimates, in decode steps over short caches, as an int8 model of 135 M parameters behaves on two
// threads: each run streams the weights, each row multiplies them, each row looks at all slots.
double estimate_prefill(size_t rows, size_t length) {
  const double r = static_cast<double>(rows);
  return 4.0 / 3 + r / 25 + r * static_cast<double>(length) / 14000;
}

double estimate_step(size_t length) { return 1 + static_cast<double>(length) / 1200; }

}  // namespace

PrefillCosts::PrefillCosts(std::vector<size_t> rows)
    : rows_(std::move(rows)), prefills_(rows_.size()) {}

void PrefillCosts::record_prefill(size_t signature, size_t length, double seconds) {
  record(prefills_[signature], seconds / estimate_prefill(rows_[signature], length));
}

void PrefillCosts::record_step(size_t length, double seconds) {
  record(step_, seconds / estimate_step(length));
}

void PrefillCosts::record(Entry& entry, double ratio) {
  const std::lock_guard lock(mutex_);
  ++entry.num_runs;
  // The first run of a signature prepares it. Of the others the fastest is the one that nothing
  // else slowed down.
  if (entry.num_runs == 2 || (entry.num_runs > 2 && ratio < entry.ratio)) {
    entry.ratio = ratio;
  }
}

double PrefillCosts::of_prefill(size_t signature, size_t length) const {
  const std::lock_guard lock(mutex_);
  double correction = 1;
  if (step_.ratio > 0) {
    // One that has not run is taken to be as far from its estimate as those that have.
    double sum = 0;
    size_t count = 0;
    for (const Entry& prefill : prefills_) {
      sum += prefill.ratio;
      count += prefill.ratio > 0 ? 1 : 0;
    }
    const double measured = prefills_[signature].ratio;
    const double ratio = measured > 0 || count == 0 ? measured : sum / static_cast<double>(count);
    correction = ratio > 0 ? ratio / step_.ratio : 1;
  }
  return correction * estimate_prefill(rows_[signature], length);
}

double PrefillCosts::of_step(size_t length) const { return estimate_step(length); }

size_t length_of_chunk(size_t end, const PrefillRoom& room) {
  // Doubled each time: a move prepares all signatures anew.
  const size_t length = std::bit_ceil(end);
  const bool is_worth_it =
      static_cast<double>(length) * kWorthResizing <= static_cast<double>(room.capacity);
  return room.is_resized && is_worth_it ? length : room.capacity;
}

std::vector<PrefillChunk> plan_prefill(const PrefillCosts& costs, size_t num_tokens,
                                       size_t position, const PrefillRoom& room) {
  const std::vector<size_t>& rows = costs.rows();
  // best[left]: the cheapest way to read the last `left` tokens, by dynamic programming.
  std::vector<std::pair<double, PrefillChunk>> best(num_tokens + 1);
  for (size_t left = 1; left <= num_tokens; ++left) {
    const size_t start = position + num_tokens - left;
    best[left] = {costs.of_step(length_of_chunk(start + 1, room)) + best[left - 1].first,
                  {std::nullopt, 1}};
    for (size_t i = 0; i < rows.size(); ++i) {
      const size_t end = start + rows[i];
      if (end > room.capacity) {
        continue;
      }
      const size_t read = std::min(rows[i], left);
      const double weight = 1 + static_cast<double>(rows[i]) / kRowsThatDouble;
      const double cost =
          weight * costs.of_prefill(i, length_of_chunk(end, room)) + best[left - read].first;
      if (cost < best[left].first) {
        best[left] = {cost, {i, read}};
      }
    }
  }
  std::vector<PrefillChunk> plan;
  for (size_t left = num_tokens; left > 0; left -= plan.back().num_tokens) {
    plan.push_back(best[left].second);
  }
  return plan;
}

}  // namespace litert_native::language
