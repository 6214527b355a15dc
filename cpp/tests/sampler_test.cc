// What tests/test_sampler.py cannot see of the sampler: random numbers, weights, allocations. The
// rest is there, where NumPy computes the same.
#include "litert/language/sampler.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "allocations.h"
#include "check.h"
#include "litert/language/candidates.h"
#include "litert/language/log_probabilities.h"
#include "litert/language/philox.h"

namespace {

using namespace litert_native::language;
using litert_native::tests::contains;
using litert_native::tests::error_of;
using litert_native::tests::num_allocations;

// Multiples of 1/1024 from -8 to 8, a tenth of them further up: the same floats on every machine.
std::vector<float> made_logits(size_t size) {
  std::vector<float> logits(size);
  for (size_t i = 0; i < size; ++i) {
    const PhiloxCounter words = philox({static_cast<uint32_t>(i), 0, 0, 0}, 1);
    logits[i] = static_cast<float>(static_cast<int32_t>(words[0] % 16384) - 8192) / 1024.0F;
    logits[i] += words[1] % 10 == 0 ? 4.0F : 0.0F;
  }
  return logits;
}

void philox_gives_its_known_answers() {
  constexpr uint32_t kOnes = 0xFFFFFFFF;
  CHECK(philox({0, 0, 0, 0}, 0) == PhiloxCounter{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8});
  CHECK(philox({kOnes, kOnes, kOnes, kOnes}, ~uint64_t{0}) ==
        PhiloxCounter{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD});
  CHECK(uniform(0, 0) == static_cast<double>(0xE169C58D6627E8D5 >> 11) * 0x1p-53);
}

void weights_are_powers_of_two() {
  CHECK(weight_of(0.0F) == kFullWeight);
  CHECK(weight_of(-1.0F) == kFullWeight / 2);
  CHECK(weight_of(-30.0F) == 1);
  CHECK(weight_of(-31.5F) == 0);
  CHECK(weight_of(-kInfinity) == 0);
  CHECK(weight_of(std::numeric_limits<float>::quiet_NaN()) == 0);
  for (float z = -32.0F; z <= 0.0F; z += 1.0F / 4096) {
    const int32_t weight = weight_of(z);
    const double exact = std::exp2(30.0 + static_cast<double>(z));
    CHECK(std::fabs(weight - exact) <= 0.5 + 2e-7 * exact);
  }
}

void natural_log_is_right() {
  for (double value = 1e-9; value < 1e9; value *= 1.37) {
    CHECK(std::fabs(natural_log(value) - std::log(value)) <= 4e-16 * std::fabs(std::log(value)));
  }
  CHECK(natural_log(1.0) == 0.0);
}

void a_block_behind_the_end_weighs_nothing() {
  const std::vector<float> logits(kBlockSize + 3, 1.0F);
  WeightBlock weights;
  CHECK(weigh_block(logits, 0, {1.0F}, weights) == uint64_t{kBlockSize} * kFullWeight);
  CHECK(weigh_block(logits, 1, {1.0F}, weights) == uint64_t{3} * kFullWeight);
  CHECK(weights[2] == kFullWeight);
  CHECK(weights[3] == 0);
}

// Against sorting, for pools above and below the size from which digits are counted.
void selection_by_weight_agrees_with_sorting() {
  for (const uint32_t num_values : {1U, 3U, 1000000U}) {
    for (const int32_t size : {1, 100, 1000}) {
      std::vector<int32_t> weights;
      for (int32_t i = 0; i < size; ++i) {
        const uint32_t word = philox({static_cast<uint32_t>(i), num_values, 0, 0}, 2)[0];
        weights.push_back(static_cast<int32_t>(1 + word % num_values));
      }
      Candidates all(static_cast<size_t>(size));
      const uint64_t total = all.add_heavy(weights, 0, 1);
      for (const uint64_t needed : {uint64_t{1}, total / 3 + 1, total}) {
        all.clear();
        all.add_heavy(weights, 0, 1);
        all.keep_reaching(needed);
        // Without the last by weight it would not be enough.
        const Candidate* last = all.entries().data();
        for (const Candidate& each : all.entries()) {
          last = each.rank > last->rank ? &each : last;
        }
        CHECK(all.total_weight() >= needed);
        CHECK(all.total_weight() - static_cast<uint64_t>(last->weight) < needed);
        size_t num_before = 0;
        for (int32_t id = 0; id < size; ++id) {
          num_before += rank_by_weight(weights[static_cast<size_t>(id)], id) <= last->rank ? 1 : 0;
        }
        CHECK(num_before == all.entries().size());
      }
    }
  }
}

void a_seed_draws_these_tokens() {
  const std::vector<float> logits = made_logits(1000);
  const auto drawn = [&](const SamplerOptions& options) {
    Sampler sampler(options, logits.size());
    std::vector<int32_t> tokens;
    for (uint64_t i = 0; i < 6; ++i) {
      tokens.push_back(sampler.sample(logits, i));
    }
    return tokens;
  };
  using Tokens = std::vector<int32_t>;
  CHECK(drawn({}) == Tokens(6, 344));
  CHECK(drawn({.temperature = 1, .seed = 7}) == Tokens{870, 870, 5, 240, 964, 270});
  CHECK(drawn({.temperature = 1.5F, .top_k = 40, .top_p = 0.9F, .seed = 7}) ==
        Tokens{870, 870, 5, 240, 908, 315});
  CHECK(drawn({.temperature = 2, .top_p = 0.5F, .min_p = 0.01F, .seed = 7}) ==
        Tokens{685, 870, 5, 240, 981, 315});
  CHECK(drawn({.temperature = 1, .typical_p = 0.4F, .seed = 7}) ==
        Tokens{870, 870, 5, 240, 908, 240});
}

void calls_do_not_allocate() {
  const std::vector<float> logits = made_logits(5000);
  std::vector<TokenLogprob> best(5);
  for (const SamplerOptions& options :
       {SamplerOptions{}, SamplerOptions{.temperature = 1},
        SamplerOptions{.temperature = 1, .top_k = 40, .top_p = 0.9F, .min_p = 0.1F},
        SamplerOptions{.temperature = 1, .top_k = 4000},
        SamplerOptions{.temperature = 1, .top_p = 0.99F, .typical_p = 0.9F},
        SamplerOptions{.temperature = 1, .min_p = 0.001F}}) {
    Sampler sampler(options, logits.size());
    const size_t before = num_allocations;
    for (uint64_t i = 0; i < 10; ++i) {
      const int32_t id = sampler.sample(logits, i);
      CHECK(log_probabilities(logits, id, best).logprob <= best.front().logprob);
    }
    CHECK(num_allocations == before);
  }
}

void wrong_options_and_logits_are_refused() {
  const auto message_of = [](const SamplerOptions& options, size_t size = 3) {
    const auto error = error_of([&] { Sampler(options, size); });
    CHECK(error.status() == 1);
    return std::string(error.what());
  };
  CHECK(message_of({.temperature = -1}) ==
        "temperature: expected a finite number of 0 or more, got -1");
  CHECK(contains(message_of({.temperature = kInfinity}), "got inf"));
  CHECK(contains(message_of({.temperature = std::nanf("")}), "got nan"));
  CHECK(message_of({.top_k = -1}) == "top_k: expected 0 or more, got -1");
  CHECK(message_of({.top_p = 1.5F}) == "top_p: expected a number from 0 to 1, got 1.5");
  CHECK(message_of({}, 0) == "vocab_size: expected 1 or more, got 0");

  Sampler sampler({}, 3);
  const std::vector<float> short_logits(2);
  const auto wrong_size = error_of([&] { static_cast<void>(sampler.sample(short_logits, 0)); });
  CHECK(wrong_size.status() == 1);
  CHECK(contains(wrong_size.what(), "expected float32[3], got float32[2]"));
  const std::vector<float> nothing = {-kInfinity, std::nanf(""), -kInfinity};
  const auto no_token = error_of([&] { static_cast<void>(sampler.sample(nothing, 0)); });
  CHECK(no_token.status() == 3);
  CHECK(contains(no_token.what(), "every logit is NaN or -inf"));
}

}  // namespace

int main() {
  philox_gives_its_known_answers();
  weights_are_powers_of_two();
  natural_log_is_right();
  a_block_behind_the_end_weighs_nothing();
  selection_by_weight_agrees_with_sorting();
  a_seed_draws_these_tokens();
  calls_do_not_allocate();
  wrong_options_and_logits_are_refused();
}
