// Which prefill signatures a prompt is read with.
#include "litert/language/prefill_plan.h"

#include <optional>
#include <vector>

#include "check.h"

namespace {

using litert_native::language::length_of_chunk;
using litert_native::language::plan_prefill;
using litert_native::language::PrefillChunk;
using litert_native::language::PrefillCosts;
using litert_native::language::PrefillRoom;

// Rows of the runs, 1 for a decode step; negative where the run is padded.
std::vector<int> plan(const PrefillCosts& costs, size_t num_tokens, size_t position,
                      const PrefillRoom& room) {
  std::vector<int> all_rows;
  size_t end = position;
  for (const PrefillChunk& chunk : plan_prefill(costs, num_tokens, position, room)) {
    const size_t rows = chunk.signature.has_value() ? costs.rows()[*chunk.signature] : 1;
    CHECK(end + rows <= room.capacity);
    CHECK(chunk.num_tokens <= rows);
    end += chunk.num_tokens;
    all_rows.push_back(chunk.num_tokens == rows ? static_cast<int>(rows) : -static_cast<int>(rows));
  }
  CHECK(end == position + num_tokens);
  return all_rows;
}

constexpr PrefillRoom kFixed{1280, false};
constexpr PrefillRoom kResized{1280, true};

void estimates_take_few_runs() {
  const PrefillCosts costs({32, 128, 512});
  CHECK(plan(costs, 0, 0, kFixed).empty());
  CHECK(plan(costs, 1, 0, kFixed) == std::vector{1});
  CHECK(plan(costs, 2, 0, kFixed) == (std::vector{1, 1}));
  CHECK(plan(costs, 12, 0, kFixed) == std::vector{-32});
  CHECK(plan(costs, 63, 0, {128, false}) == (std::vector{32, -32}));
  CHECK(plan(costs, 500, 0, kFixed) == (std::vector{128, 128, 128, -128}));
}

void a_long_run_is_taken_where_it_is_clearly_cheaper() {
  PrefillCosts costs({32, 128, 512});
  for (int i = 0; i < 2; ++i) {
    costs.record_step(1280, 0.01);
    costs.record_prefill(1, 1280, 0.1);
    costs.record_prefill(2, 1280, 0.38);
  }
  CHECK(plan(costs, 512, 0, kFixed) == std::vector<int>(4, 128));  // a tenth is not enough
  costs.record_prefill(2, 1280, 0.2);
  CHECK(plan(costs, 512, 0, kFixed) == std::vector{512});
}

void a_chunk_runs_at_its_own_length_where_that_saves_enough() {
  CHECK(length_of_chunk(128, kFixed) == 1280);
  CHECK(length_of_chunk(128, kResized) == 128);
  CHECK(length_of_chunk(129, kResized) == 256);
  CHECK(length_of_chunk(512, kResized) == 512);
  CHECK(length_of_chunk(513, kResized) == 1280);
}

void padding_stays_inside_of_the_caches() {
  const PrefillCosts costs({32, 128});
  // 20 tokens from 230 on end at 250: a padded run of 32 would end at 262.
  CHECK(plan(costs, 20, 230, {256, false}) == std::vector<int>(20, 1));
  CHECK(plan(costs, 20, 224, {256, false}) == std::vector{-32});
  CHECK(plan(costs, 32, 224, {256, true}) == std::vector{32});
}

void measured_costs_decide() {
  constexpr PrefillRoom kRoom{256, false};
  PrefillCosts costs({8, 64});
  const double estimated = costs.of_prefill(0, 256);
  // The first run of each does not count.
  for (const double seconds : {9.0, 0.0121, 0.012}) {
    costs.record_step(256, seconds);
  }
  for (const double seconds : {9.0, 0.013}) {
    costs.record_prefill(0, 256, seconds);
  }
  for (const double seconds : {9.0, 1.0}) {
    costs.record_prefill(1, 256, seconds);
  }
  CHECK(costs.of_prefill(0, 256) != estimated);
  CHECK(costs.of_prefill(0, 256) > 1.2 && costs.of_prefill(0, 256) < 1.4);
  CHECK(costs.of_prefill(0, 512) > costs.of_prefill(0, 256));
  CHECK(costs.of_prefill(1, 256) > 99);
  CHECK(plan(costs, 64, 0, kRoom) == std::vector<int>(8, 8));
  costs.record_prefill(1, 256, 0.02);
  CHECK(plan(costs, 64, 0, kRoom) == std::vector{64});
}

void without_prefill_signatures_every_token_is_a_step() {
  CHECK(plan(PrefillCosts({}), 5, 3, {8, false}) == std::vector<int>(5, 1));
}

}  // namespace

int main() {
  estimates_take_few_runs();
  a_long_run_is_taken_where_it_is_clearly_cheaper();
  a_chunk_runs_at_its_own_length_where_that_saves_enough();
  padding_stays_inside_of_the_caches();
  measured_costs_decide();
  without_prefill_signatures_every_token_is_a_step();
}
