#include "litert/language/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <string>

#include "litert/language/option_check.h"
#include "litert/language/philox.h"
#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

void check_share(const char* name, float value) {
  check_option(value >= 0.0F && value <= 1.0F, name, "a number from 0 to 1", value);
}

SamplerOptions checked(SamplerOptions options, size_t vocab_size) {
  check_option(vocab_size > 0, "vocab_size", "1 or more", vocab_size);
  check_option(options.temperature >= 0.0F && options.temperature < kInfinity, "temperature",
               "a finite number of 0 or more", options.temperature);
  check_option(options.top_k >= 0, "top_k", "0 or more", options.top_k);
  check_share("top_p", options.top_p);
  check_share("min_p", options.min_p);
  check_share("typical_p", options.typical_p);
  if (static_cast<size_t>(options.top_k) >= vocab_size) {
    options.top_k = 0;
  }
  return options;
}

// The least whole number that is at least `share` of `total`, and at least 1.
uint64_t part_of(float share, uint64_t total) {
  const double part = std::ceil(static_cast<double>(share) * static_cast<double>(total));
  return std::max<uint64_t>(static_cast<uint64_t>(part), 1);
}

// Less than `total`: also its product with the largest u, 1 - 2^-53, rounds to less.
uint64_t target_of(double u, uint64_t total) {
  return static_cast<uint64_t>(u * static_cast<double>(total));
}

// Whole numbers in the reverse order of the logits they stand for; 0 and -0 are one.
uint32_t descending(float logit) {
  const uint32_t bits = std::bit_cast<uint32_t>(logit + 0.0F);
  return (bits >> 31) != 0 ? bits : ~(bits | 0x80000000U);
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options, size_t vocab_size)
    : options_(checked(options, vocab_size)),
      vocab_size_(vocab_size),
      block_best_(num_blocks(vocab_size)),
      candidates_(options_.temperature == 0.0F || keeps_all() ? 0 : vocab_size) {
  if (options_.temperature == 0.0F) {
    return;
  }
  // Finite also for the smallest temperatures, so that 0 times it is 0.
  factor_ = std::min(std::numbers::log2e_v<float> / options_.temperature,
                     std::numeric_limits<float>::max());
  least_weight_ = static_cast<int32_t>(part_of(options_.min_p, kFullWeight));
  block_order_.resize(block_best_.size());
  block_sums_.resize(block_best_.size());
}

bool Sampler::keeps_all() const {
  return options_.top_k == 0 && options_.top_p == 1.0F && options_.min_p == 0.0F &&
         options_.typical_p == 1.0F;
}

int32_t Sampler::sample(std::span<const float> logits, uint64_t draw_index) {
  if (logits.size() != vocab_size_) {
    throw runtime::StatusError(1, "logits: expected float32[" + std::to_string(vocab_size_) +
                                      "], got float32[" + std::to_string(logits.size()) + "]");
  }
  const float best = find_best(logits, block_best_);
  check_best(best);
  if (options_.temperature == 0.0F || best == kInfinity) {
    return first_with(logits, best);
  }
  const Scale scale{best, factor_};
  const double u = uniform(options_.seed, draw_index);
  if (keeps_all()) {
    return draw_from_all(logits, scale, u);
  }
  uint64_t total = 0;
  if (options_.top_k > 0) {
    total = collect_top_k(logits, scale);
  } else if (options_.top_p < 1.0F) {
    total = collect_for_top_p(logits, scale);
  } else {
    total = collect(logits, scale, least_weight_);
  }
  filter(logits, scale, total);
  return candidates_.at(target_of(u, candidates_.total_weight()));
}

// The lowest id with the best logit.
int32_t Sampler::first_with(std::span<const float> logits, float best) const {
  const auto block = std::find(block_best_.begin(), block_best_.end(), best);
  const auto begin = logits.begin() + (block - block_best_.begin()) * ptrdiff_t{kBlockSize};
  return static_cast<int32_t>(std::find(begin, logits.end(), best) - logits.begin());
}

int32_t Sampler::draw_from_all(std::span<const float> logits, const Scale& scale, double u) {
  uint64_t target = target_of(u, weigh_all(logits, scale));
  size_t block = 0;
  while (block_sums_[block] <= target) {
    target -= block_sums_[block++];
  }
  WeightBlock weights;
  weigh_block(logits, block, scale, weights);
  size_t i = 0;
  while (static_cast<uint64_t>(weights[i]) <= target) {
    target -= static_cast<uint64_t>(weights[i++]);
  }
  return static_cast<int32_t>(block * kBlockSize + i);
}

uint64_t Sampler::weigh_all(std::span<const float> logits, const Scale& scale) {
  WeightBlock weights;
  uint64_t total = 0;
  for (size_t block = 0; block < block_best_.size(); ++block) {
    const bool counts = scale.z(block_best_[block]) >= kLowestZ;
    block_sums_[block] = counts ? weigh_block(logits, block, scale, weights) : 0;
    total += block_sums_[block];
  }
  return total;
}

uint64_t Sampler::collect_top_k(std::span<const float> logits, const Scale& scale) {
  const size_t k = static_cast<size_t>(options_.top_k);
  // The best logits of the k best blocks are k logits, so the k-th best logit is no lower.
  float bound = -kInfinity;
  if (k <= block_best_.size()) {
    std::copy(block_best_.begin(), block_best_.end(), block_order_.begin());
    const auto kth = block_order_.begin() + static_cast<ptrdiff_t>(k) - 1;
    std::nth_element(block_order_.begin(), kth, block_order_.end(), std::greater<>());
    bound = *kth;
  }
  candidates_.clear();
  for (size_t block = 0; block < block_best_.size(); ++block) {
    if (block_best_[block] < bound) {
      continue;
    }
    const size_t end = std::min((block + 1) * kBlockSize, logits.size());
    for (size_t i = block * kBlockSize; i < end; ++i) {
      if (logits[i] >= bound) {
        const int32_t id = static_cast<int32_t>(i);
        candidates_.add({rank_of(descending(logits[i]), id), id, 0});
      }
    }
  }
  candidates_.keep_first(k);
  for (Candidate& each : candidates_.entries()) {
    each.weight = weight_of(scale.z(logits[static_cast<size_t>(each.id)]));
    each.rank = rank_by_weight(each.weight, each.id);
  }
  candidates_.keep_if([](const Candidate& each) { return each.weight > 0; });
  return candidates_.total_weight();
}

// Most often a small part of the vocabulary holds the weight sought.
uint64_t Sampler::collect_for_top_p(std::span<const float> logits, const Scale& scale) {
  const uint64_t total = weigh_all(logits, scale);
  const uint64_t needed = part_of(options_.top_p, total);
  for (const int32_t least : {1 << 20, 1 << 10}) {
    if (collect(logits, scale, least) >= needed) {
      return total;
    }
  }
  collect(logits, scale, 1);
  return total;
}

// The tokens whose weight is at least `least`; returns the sum of theirs.
uint64_t Sampler::collect(std::span<const float> logits, const Scale& scale, int32_t least) {
  // The binary logarithm over the full weight, with room for rounding to whole numbers.
  const float lowest_z =
      static_cast<float>(std::bit_width(static_cast<uint32_t>(least))) - 1.0F - 30.0F - 2.0F;
  WeightBlock weights;
  uint64_t total = 0;
  candidates_.clear();
  for (size_t block = 0; block < block_best_.size(); ++block) {
    if (scale.z(block_best_[block]) < lowest_z) {
      continue;
    }
    weigh_block(logits, block, scale, weights);
    const size_t first = block * kBlockSize;
    const size_t size = std::min(kBlockSize, logits.size() - first);
    total +=
        candidates_.add_heavy(std::span(weights).first(size), static_cast<int32_t>(first), least);
  }
  return total;
}

// Candidates are ranked by weight; `total` is the weight of all that top_p chooses among.
void Sampler::filter(std::span<const float> logits, const Scale& scale, uint64_t total) {
  if (options_.top_p < 1.0F) {
    candidates_.keep_reaching(part_of(options_.top_p, total));
  }
  if (options_.min_p > 0.0F) {
    candidates_.keep_if(
        [least = least_weight_](const Candidate& each) { return each.weight >= least; });
  }
  if (options_.typical_p < 1.0F) {
    keep_typical(logits, scale);
  }
}

// The surprise of a token is a constant less z, and so is its expected value.
void Sampler::keep_typical(std::span<const float> logits, const Scale& scale) {
  const auto z_of = [&](const Candidate& each) {
    return static_cast<double>(scale.z(logits[static_cast<size_t>(each.id)]));
  };
  double sum = 0;
  for (const Candidate& each : candidates_.entries()) {
    sum += static_cast<double>(each.weight) * z_of(each);
  }
  const uint64_t total = candidates_.total_weight();
  const double expected_z = sum / static_cast<double>(total);
  for (Candidate& each : candidates_.entries()) {
    const float distance = static_cast<float>(std::fabs(expected_z - z_of(each)));
    each.rank = rank_of(std::bit_cast<uint32_t>(distance), each.id);
  }
  candidates_.keep_reaching(part_of(options_.typical_p, total));
}

}  // namespace litert_native::language
