// Everything of a token but the model: the loop over a script of logits, a vocabulary of 262,144.
// Prints a JSON object: microseconds per token, one number a round. Built and run by
// loop_overhead.py.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "litert/language/detokenizer.h"
#include "litert/language/session.h"
#include "litert/language/step_executor.h"
#include "litert/language/token_loop.h"

namespace {

using namespace litert_native::language;

constexpr size_t kVocabSize = 262144;
// Past the second-level cache together, so that every vector is read from further away, as a
// model's logits may be.
constexpr size_t kNumVectors = 8;
constexpr size_t kTokensPerRound = 256;
constexpr size_t kPromptTokens = 16;
constexpr int32_t kStopToken = 1;

using Logits = std::vector<std::vector<float>>;

class ScriptedExecutor final : public StepExecutor {
 public:
  explicit ScriptedExecutor(Logits& logits) : logits_(logits) {}

  [[nodiscard]] size_t vocab_size() const override { return kVocabSize; }
  [[nodiscard]] size_t context_length() const override { return kPromptTokens + kTokensPerRound; }
  void reserve(size_t /*num_tokens*/, size_t /*num_expected*/, size_t /*num_used*/) override {}
  size_t prefill(std::span<const int32_t> ids, size_t /*position*/, size_t /*num_expected*/,
                 const Interrupt& /*interrupt*/) override {
    return ids.size();
  }
  std::span<float> step(int32_t /*id*/, size_t position) override {
    return logits_[position % kNumVectors];
  }

 private:
  Logits& logits_;
};

// As a model's are where it is sure: a wide bell, and a few dozen ids far above it.
Logits peaked_logits() {
  std::mt19937 generator(1);
  std::normal_distribution<float> bell(0.0F, 2.5F);
  std::uniform_real_distribution<float> peak(14.0F, 20.0F);
  std::uniform_int_distribution<size_t> id(kStopToken + 1, kVocabSize - 1);
  Logits logits(kNumVectors, std::vector<float>(kVocabSize));
  for (std::vector<float>& vector : logits) {
    std::generate(vector.begin(), vector.end(), [&] { return bell(generator); });
    for (int i = 0; i < 32; ++i) {
      vector[id(generator)] = peak(generator);
    }
    vector[kStopToken] = -30.0F;
  }
  return logits;
}

// The 256 bytes first, then words.
std::shared_ptr<const TokenTable> word_table() {
  std::vector<std::string> texts(kVocabSize);
  for (size_t id = 0; id < kVocabSize; ++id) {
    texts[id] = id < 256 ? std::string(1, static_cast<char>(id)) : " w" + std::to_string(id);
  }
  const std::vector<std::string_view> rows(texts.begin(), texts.end());
  const std::vector<uint8_t> is_skipped(kVocabSize, 0);
  return std::make_shared<TokenTable>(rows, std::span<const std::string_view>(), is_skipped,
                                      TokenTableRules{});
}

template <typename Work>
double microseconds_of(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::micro> elapsed =
      std::chrono::steady_clock::now() - start;
  return elapsed.count();
}

double time_loop(Logits& logits, const std::shared_ptr<const TokenTable>& table,
                 const SamplerOptions& sampler) {
  const auto session = std::make_shared<Session>(std::make_unique<ScriptedExecutor>(logits));
  session->append(std::vector<int32_t>(kPromptTokens, 2));
  LoopOptions options;
  options.max_tokens = kTokensPerRound;
  options.sampler = sampler;
  options.stop_tokens = {{kStopToken}};
  options.stop_strings = {"\n\nUser:"};
  TokenLoop loop(session, std::move(options), std::make_unique<Detokenizer>(table));
  TextChunk chunk;
  const double elapsed = microseconds_of([&] { (void)loop.next(chunk, true); });
  return elapsed / static_cast<double>(loop.metrics().generated_tokens);
}

double time_detokenizer(const std::shared_ptr<const TokenTable>& table) {
  constexpr size_t kNumIds = 100'000;
  std::mt19937 generator(2);
  std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(kVocabSize) - 1);
  std::vector<int32_t> ids(kNumIds);
  std::generate(ids.begin(), ids.end(), [&] { return any(generator); });
  Detokenizer detokenizer(table);
  std::string text;
  const double elapsed = microseconds_of([&] {
    for (const int32_t id : ids) {
      text.clear();
      detokenizer.push(id, text);
    }
  });
  return elapsed / static_cast<double>(kNumIds);
}

void print(std::string_view name, const std::vector<double>& samples, std::string_view end) {
  std::printf("\"%.*s\": [", static_cast<int>(name.size()), name.data());
  for (size_t i = 0; i < samples.size(); ++i) {
    std::printf("%s%.4f", i == 0 ? "" : ", ", samples[i]);
  }
  std::printf("]%.*s\n", static_cast<int>(end.size()), end.data());
}

}  // namespace

int main(int argc, char** argv) {
  int num_rounds = 1;
  if (argc > 1) {
    const std::string_view given = argv[1];
    std::from_chars(given.data(), given.data() + given.size(), num_rounds);
  }
  constexpr float kAll = 1.0F;
  const std::array<std::pair<std::string_view, SamplerOptions>, 3> kinds = {{
      {"greedy", {}},
      {"top_k_top_p", {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F, .seed = 1}},
      {"top_p", {.temperature = kAll, .top_p = 0.95F, .seed = 1}},
  }};
  Logits logits = peaked_logits();
  const std::shared_ptr<const TokenTable> table = word_table();
  std::array<std::vector<double>, 4> samples;
  for (int round = 0; round < num_rounds; ++round) {
    for (size_t kind = 0; kind < kinds.size(); ++kind) {
      samples[kind].push_back(time_loop(logits, table, kinds[kind].second));
    }
    samples.back().push_back(time_detokenizer(table));
  }
  std::printf("{\n");
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    print(kinds[kind].first, samples[kind], ",");
  }
  print("detokenizer", samples.back(), "\n}");
}
