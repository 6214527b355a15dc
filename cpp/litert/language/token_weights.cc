#include "litert/language/token_weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

using LogitBlock = std::array<float, kBlockSize>;

// A whole block in place, or the last one filled up in `padded`.
const float* block_of(std::span<const float> logits, size_t block, LogitBlock& padded) {
  const std::span<const float> rest = logits.subspan(block * kBlockSize);
  if (rest.size() >= kBlockSize) {
    return rest.data();
  }
  std::fill(std::copy(rest.begin(), rest.end(), padded.begin()), padded.end(), -kInfinity);
  return padded.data();
}

// Four lanes of independent comparisons, which become vectors; NaN loses each of them.
float best_of_block(const float* logits) {
  constexpr size_t kLanes = 4;
  std::array<float, kLanes> best;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    float lane_best = -kInfinity;
    for (size_t row = 0; row < kBlockSize; row += kLanes) {
      lane_best = logits[row + lane] > lane_best ? logits[row + lane] : lane_best;
    }
    best[lane] = lane_best;
  }
  return std::max(std::max(best[0], best[1]), std::max(best[2], best[3]));
}

// 2^f = 1 + f (c1 + f (c2 + ...)) on [-1/2, 1/2], relative error below 1e-7.
constexpr std::array<float, 5> kExp2Coefficients = {0x1.62e42ap-1F, 0x1.ebf9bcp-3F, 0x1.c6b752p-5F,
                                                    0x1.3cea88p-7F, 0x1.5bba14p-10F};

// Written without branches and calls, so that loops over it become vectors.
inline int32_t weigh(float z) {
  constexpr float kRounder = 0x1.8p23F;  // adding and taking it away rounds to the nearest integer
  const float clamped = z > kLowestZ ? z : kLowestZ;  // NaN becomes the lowest
  const float shifted = clamped + kRounder;
  const float fraction = clamped - (shifted - kRounder);
  float power = kExp2Coefficients[4];
  power = power * fraction + kExp2Coefficients[3];
  power = power * fraction + kExp2Coefficients[2];
  power = power * fraction + kExp2Coefficients[1];
  power = power * fraction + kExp2Coefficients[0];
  power = power * fraction + 1.0F;
  // 2^(integer + 30), made from its bits.
  const int32_t integer = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRounder);
  const float scale = std::bit_cast<float>((integer + 30 + 127) << 23);
  return static_cast<int32_t>(power * scale + 0.5F);
}

}  // namespace

float find_best(std::span<const float> logits, std::span<float> block_best) {
  LogitBlock padded;
  float best = -kInfinity;
  for (size_t block = 0; block < block_best.size(); ++block) {
    block_best[block] = best_of_block(block_of(logits, block, padded));
    best = block_best[block] > best ? block_best[block] : best;
  }
  return best;
}

void check_best(float best) {
  if (best == -kInfinity) {
    throw runtime::StatusError(
        3,
        "logits: no token can be drawn, since every logit is NaN or -inf; look at what the model, "
        "the penalties and the bans leave");
  }
}

int32_t weight_of(float z) { return weigh(z); }

uint64_t weigh_block(std::span<const float> logits, size_t block, const Scale& scale,
                     WeightBlock& weights) {
  LogitBlock padded;
  const float* const source = block_of(logits, block, padded);
  for (size_t i = 0; i < kBlockSize; ++i) {
    weights[i] = weigh(scale.z(source[i]));
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlockSize / 2; ++i) {
    // Two weights fit 32 bits; widening is what costs.
    sum += static_cast<uint32_t>(weights[i]) + static_cast<uint32_t>(weights[i + kBlockSize / 2]);
  }
  return sum;
}

// value = m 2^e with m in [sqrt(1/2), sqrt(2)), log m = 2 artanh(s) with s = (m - 1) / (m + 1).
double natural_log(double value) {
  int exponent = 0;
  double mantissa = std::frexp(value, &exponent);
  if (mantissa < std::numbers::sqrt2 / 2) {
    mantissa *= 2;
    --exponent;
  }
  const double s = (mantissa - 1) / (mantissa + 1);
  const double square = s * s;
  double series = 0;
  for (int odd = 21; odd >= 1; odd -= 2) {
    series = series * square + 1.0 / odd;
  }
  return exponent * std::numbers::ln2 + 2 * s * series;
}

}  // namespace litert_native::language
