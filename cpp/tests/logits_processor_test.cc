// What tests/test_logits_processor.py cannot see of the processor: allocations, and n-grams whose
// hashes collide.
#include "litert/language/logits_processor.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "allocations.h"
#include "check.h"
#include "litert/language/philox.h"
#include "litert/language/token_weights.h"

namespace {

using namespace litert_native::language;
using litert_native::tests::contains;
using litert_native::tests::error_of;
using litert_native::tests::num_allocations;

void steps_do_not_allocate() {
  LogitsProcessor processor({.repetition_penalty = 1.1F,
                             .presence_penalty = 0.5F,
                             .frequency_penalty = 0.5F,
                             .no_repeat_ngram = 3,
                             .logit_bias = {{1, 2.0F}},
                             .suppressed_tokens = {3}},
                            100);
  processor.start(std::vector<int32_t>{1, 2, 3}, 500);
  std::vector<float> logits(100, 1.0F);
  const size_t before = num_allocations;
  for (int32_t i = 0; i < 500; ++i) {
    processor.accept(i * i % 100);
    processor.apply(logits);
  }
  CHECK(num_allocations == before);
}

// More contexts than slots, so that chains hold different ones.
void followers_are_those_of_the_same_context() {
  constexpr size_t kLength = 20000;
  std::vector<int32_t> ids;
  for (uint32_t i = 0; i < kLength; ++i) {
    ids.push_back(static_cast<int32_t>(philox({i, 0, 0, 0}, 3)[0] % 80));
  }
  NgramIndex index(3);
  std::set<int32_t> expected;
  for (size_t i = 0; i < kLength; ++i) {
    index.add(ids[i]);
    if (i >= 2 && ids[i - 2] == ids[kLength - 2] && ids[i - 1] == ids[kLength - 1]) {
      expected.insert(ids[i]);
    }
  }
  std::set<int32_t> found;
  index.for_each_follower([&](int32_t id) { found.insert(id); });
  CHECK(!expected.empty());
  CHECK(found == expected);
}

void start_forgets_what_came_before() {
  LogitsProcessor processor({.repetition_penalty = 2, .no_repeat_ngram = 2}, 4);
  processor.start(std::vector<int32_t>{0, 1, 0});
  processor.accept(2);
  processor.start({});
  std::vector<float> logits(4, 1.0F);
  processor.apply(logits);
  CHECK(logits == std::vector<float>(4, 1.0F));
}

void wrong_ids_are_refused() {
  const auto message_of = [](PenaltyOptions options) {
    const auto error = error_of([&] { LogitsProcessor(std::move(options), 4); });
    CHECK(error.status() == 1);
    return std::string(error.what());
  };
  CHECK(message_of({.logit_bias = {{4, 1.0F}}}) == "logit_bias: expected ids from 0 to 3, got 4");
  CHECK(contains(message_of({.suppressed_tokens = {0, -1}}), "got -1"));
  CHECK(contains(message_of({.no_repeat_ngram = -2}), "no_repeat_ngram: expected 0 or more"));
  LogitsProcessor processor({.repetition_penalty = 2}, 4);
  CHECK(contains(error_of([&] { processor.accept(4); }).what(), "token: expected ids from 0 to 3"));
  CHECK(error_of([&] { processor.start(std::vector<int32_t>{0, 9}); }).status() == 1);
  std::vector<float> logits(3);
  CHECK(error_of([&] { processor.apply(logits); }).status() == 1);
}

}  // namespace

int main() {
  steps_do_not_allocate();
  followers_are_those_of_the_same_context();
  start_forgets_what_came_before();
  wrong_ids_are_refused();
}
