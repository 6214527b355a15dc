// The token loop over a scripted model: what it reads, what it hands out, where it ends.
#include "litert/language/token_loop.h"

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "allocations.h"
#include "check.h"
#include "scripted_executor.h"

namespace {

using litert_native::language::FinishReason;
using litert_native::language::LoopOptions;
using litert_native::language::Session;
using litert_native::language::TextChunk;
using litert_native::language::TextDecoder;
using litert_native::language::TokenLoop;
using litert_native::runtime::StatusError;
using litert_native::tests::contains;
using litert_native::tests::error_of;
using litert_native::tests::num_allocations;
using litert_native::tests::ScriptedExecutor;

using Ids = std::vector<int32_t>;

// Id 0 is "a", 1 is "b" and so on.
class LetterDecoder final : public TextDecoder {
 public:
  void push(int32_t id, std::string& text) override { text.push_back(static_cast<char>('a' + id)); }
  void flush(std::string& text) override { text.push_back('.'); }
};

struct Fixture {
  explicit Fixture(size_t context_length = 100)
      : owned(std::make_unique<ScriptedExecutor>(26, context_length,
                                                 [](int32_t id) { return (id + 1) % 26; })),
        executor(owned.get()),
        session(std::make_shared<Session>(std::move(owned))) {}

  TextChunk run(const LoopOptions& options, bool has_decoder = true) {
    TokenLoop loop(session, options, has_decoder ? std::make_unique<LetterDecoder>() : nullptr);
    TextChunk chunk;
    CHECK(loop.next(chunk, true));
    return chunk;
  }

  std::unique_ptr<ScriptedExecutor> owned;
  ScriptedExecutor* executor;
  std::shared_ptr<Session> session;
};

void reads_the_prompt_and_goes_on_from_its_last_token() {
  Fixture fixture;
  fixture.session->append(Ids{3, 4, 5});
  const TextChunk chunk = fixture.run({.max_tokens = 4});
  CHECK(chunk.tokens == Ids{6, 7, 8, 9});
  CHECK(chunk.text == "ghij.");
  CHECK(chunk.finish_reason == FinishReason::kLength);
  // The last token is in the context and not read yet.
  CHECK(fixture.executor->context == Ids{3, 4, 5, 6, 7, 8});
  CHECK(fixture.session->tokens() == Ids{3, 4, 5, 6, 7, 8, 9});
  CHECK(fixture.run({.max_tokens = 2}).tokens == Ids{10, 11});
  CHECK(fixture.executor->num_steps == 6);
}

void hands_out_one_chunk_a_token() {
  Fixture fixture;
  fixture.session->append(Ids{0});
  TokenLoop loop(fixture.session, {.max_tokens = 3}, std::make_unique<LetterDecoder>());
  TextChunk chunk;
  std::string text;
  for (const char* const expected : {"b", "c", "d."}) {
    CHECK(loop.next(chunk, false));
    CHECK(chunk.text == expected);
    CHECK(chunk.tokens.size() == 1);
  }
  CHECK(chunk.finish_reason == FinishReason::kLength);
  CHECK(!loop.next(chunk, false));
}

void stops_at_tokens_sequences_and_strings() {
  for (const auto& [options, tokens, text] : std::vector<std::tuple<LoopOptions, Ids, std::string>>{
           {{.max_tokens = 20, .stop_tokens = {{5}}}, {1, 2, 3, 4}, "bcde."},
           {{.max_tokens = 20, .stop_tokens = {{4, 5, 6}, {4, 6}}}, {1, 2, 3}, "bcd."},
           {{.max_tokens = 20, .stop_strings = {"efg", "fx"}}, {1, 2, 3, 4, 5, 6}, "bcd"},
           {{.max_tokens = 20,
             .min_tokens = 6,
             .stop_tokens = {{3, 4}, {6, 7}},
             .stop_strings = {"cd"}},
            {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
            "bcdefghijklmnopqrstu."}}) {
    Fixture fixture;
    fixture.session->append(Ids{0});
    const TextChunk chunk = fixture.run(options);
    CHECK(chunk.tokens == tokens);
    CHECK(chunk.text == text);
    Ids context{0};
    context.insert(context.end(), tokens.begin(), tokens.end());
    CHECK(fixture.session->tokens() == context);
    CHECK(chunk.finish_reason ==
          (tokens.size() == 20 ? FinishReason::kLength : FinishReason::kStop));
  }
}

void hands_out_what_was_held_back_at_the_end() {
  Fixture fixture;
  fixture.session->append(Ids{0});
  const TextChunk chunk =
      fixture.run({.max_tokens = 3, .stop_tokens = {{2, 3, 9}}, .stop_strings = {"d.x"}});
  CHECK(chunk.tokens == Ids{1, 2, 3});
  CHECK(chunk.text == "bcd.");
}

void single_stop_tokens_are_not_sampled_before_min_tokens() {
  Fixture fixture;
  fixture.session->append(Ids{0});
  const TextChunk chunk = fixture.run({.max_tokens = 9, .min_tokens = 2, .stop_tokens = {{1}}});
  CHECK(chunk.tokens.front() == 0);  // the best of the others, which are equal
  CHECK(chunk.finish_reason == FinishReason::kStop);
  CHECK(chunk.tokens.size() == 2);
}

void ends_where_the_context_is_full() {
  Fixture fixture(8);
  fixture.session->append(Ids{0, 1, 2, 3, 4});
  const TextChunk chunk = fixture.run({.max_tokens = 50});
  CHECK(chunk.tokens == Ids{5, 6, 7});
  CHECK(chunk.finish_reason == FinishReason::kLength);
  CHECK(error_of([&] { (void)fixture.run({.max_tokens = 1}); }).status() == 1);
}

void an_interrupted_prefill_keeps_what_was_read() {
  Fixture fixture;
  fixture.session->append(Ids{0, 1, 2, 3});
  TokenLoop loop(fixture.session, {.max_tokens = 5}, std::make_unique<LetterDecoder>());
  loop.cancel();
  TextChunk chunk;
  CHECK(loop.next(chunk, true));
  CHECK(chunk.finish_reason == FinishReason::kCancelled);
  CHECK(chunk.tokens.empty());
  CHECK(fixture.executor->context.empty());
  CHECK(fixture.run({.max_tokens = 2}).tokens == Ids{4, 5});
}

void a_timeout_ends_it() {
  Fixture fixture;
  fixture.session->append(Ids{0});
  LoopOptions options{.max_tokens = 5};
  options.timeout = std::chrono::nanoseconds(0);
  CHECK(fixture.run(options).finish_reason == FinishReason::kTimeout);
}

void a_failed_step_makes_the_next_one_read_everything_again() {
  Fixture fixture;
  fixture.session->append(Ids{0, 1, 2});
  (void)fixture.run({.max_tokens = 2});
  fixture.executor->fails = true;
  bool has_thrown = false;
  try {
    (void)fixture.run({.max_tokens = 2});
  } catch (const std::runtime_error&) {
    has_thrown = true;
  }
  CHECK(has_thrown);
  CHECK(fixture.session->num_read() == 0);
  fixture.executor->fails = false;
  CHECK(fixture.run({.max_tokens = 2}).tokens == Ids{5, 6});
  CHECK(fixture.executor->context == Ids{0, 1, 2, 3, 4, 5});
}

void a_hook_that_throws_leaves_the_context_before_its_token() {
  Fixture fixture;
  fixture.session->append(Ids{0});
  LoopOptions options{.max_tokens = 5};
  options.hook = [](std::span<float>, std::span<const int32_t> ids) {
    if (ids.size() == 2) {
      throw StatusError(3, "enough");
    }
  };
  CHECK(error_of([&] { (void)fixture.run(options); }).status() == 3);
  CHECK(fixture.session->tokens() == Ids{0, 1, 2});
  CHECK(fixture.run({.max_tokens = 1}).tokens == Ids{3});
}

void logprobs_belong_to_their_tokens() {
  Fixture fixture;
  fixture.session->append(Ids{0});
  LoopOptions options{.max_tokens = 20, .stop_tokens = {{3, 4, 9}, {7}}, .num_logprobs = 2};
  const TextChunk chunk = fixture.run(options);
  CHECK(chunk.tokens == Ids{1, 2, 3, 4, 5, 6});
  CHECK(chunk.details.size() == chunk.tokens.size());
  for (size_t i = 0; i < chunk.tokens.size(); ++i) {
    CHECK(chunk.details[i].top.size() == 2);
    CHECK(chunk.details[i].top[0].id == chunk.tokens[i]);
    CHECK(chunk.details[i].top[0].logprob == chunk.details[i].logprob);
  }
}

void a_context_changed_meanwhile_is_refused() {
  Fixture fixture;
  fixture.session->append(Ids{0});
  TokenLoop loop(fixture.session, {.max_tokens = 5}, nullptr);
  TextChunk chunk;
  CHECK(loop.next(chunk, false));
  fixture.session->append(Ids{9});
  const StatusError error = error_of([&] { (void)loop.next(chunk, false); });
  CHECK(contains(error.what(), "changed while a generation was under way"));
}

void wrong_ids_change_nothing() {
  Fixture fixture(5);
  fixture.session->append(Ids{0, 1});
  CHECK(contains(error_of([&] { fixture.session->append(Ids{2, 26}); }).what(), "26 is outside"));
  CHECK(contains(error_of([&] { fixture.session->append(Ids{2, -1}); }).what(), "-1 is outside"));
  CHECK(contains(error_of([&] { fixture.session->append(Ids{2, 3, 4, 5}); }).what(), "do not fit"));
  CHECK(fixture.session->tokens() == Ids{0, 1});
}

void a_step_allocates_nothing() {
  for (const LoopOptions& options :
       std::vector<LoopOptions>{{.max_tokens = 2000},
                                {.max_tokens = 2000,
                                 .sampler = {.temperature = 0.8F, .top_k = 4, .top_p = 0.9F},
                                 .stop_tokens = {{25, 25}},
                                 .stop_strings = {"zzz"}}}) {
    Fixture fixture(4096);
    fixture.session->append(Ids{0});
    TokenLoop loop(fixture.session, options, std::make_unique<LetterDecoder>());
    TextChunk chunk;
    for (int i = 0; i < 260; ++i) {  // what grows with the context has room up to 512
      CHECK(loop.next(chunk, false));
    }
    const size_t before = num_allocations;
    for (int i = 0; i < 200; ++i) {
      CHECK(loop.next(chunk, false));
    }
    CHECK(num_allocations == before);
  }
}

}  // namespace

int main() {
  reads_the_prompt_and_goes_on_from_its_last_token();
  hands_out_one_chunk_a_token();
  stops_at_tokens_sequences_and_strings();
  hands_out_what_was_held_back_at_the_end();
  single_stop_tokens_are_not_sampled_before_min_tokens();
  ends_where_the_context_is_full();
  an_interrupted_prefill_keeps_what_was_read();
  a_timeout_ends_it();
  a_failed_step_makes_the_next_one_read_everything_again();
  a_hook_that_throws_leaves_the_context_before_its_token();
  logprobs_belong_to_their_tokens();
  a_context_changed_meanwhile_is_refused();
  wrong_ids_change_nothing();
  a_step_allocates_nothing();
}
