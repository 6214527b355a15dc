// What ends a generation: a text, or a sequence of ids, found as it comes and never shown.
//
// Of several the one that ends first counts; of those that end together, the longest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace litert_native::language {

// Searches a stream for sequences (Knuth, Morris and Pratt, one at a time: there are few).
template <typename Sequence>
class StopSearch {
 public:
  using Symbol = typename Sequence::value_type;

  // Throws StatusError 1 for an empty sequence.
  explicit StopSearch(const std::vector<Sequence>& sequences);

  // Returns the length of the sequence that is complete with this symbol, 0 for none.
  [[nodiscard]] size_t push(Symbol symbol);
  // How many of the last symbols may be the beginning of a sequence.
  [[nodiscard]] size_t num_open() const;

 private:
  struct State {
    Sequence sequence;
    std::vector<size_t> borders;  // of its prefixes: the longest proper prefix that is a suffix
    size_t num_matched = 0;

    [[nodiscard]] bool push(Symbol symbol);
  };

  std::vector<State> states_;
};

// Over text. One thread at a time. Text comes and goes in whole characters.
class StopMatcher {
 public:
  // Throws StatusError 1 for an empty string.
  explicit StopMatcher(const std::vector<std::string>& stop_strings);

  // Appends to `visible` what no stop string can begin in. True once one is complete: what comes
  // before it has been appended then, and later text is dropped.
  [[nodiscard]] bool push(std::string_view text, std::string& visible);
  // Appends what was held back: the text has ended.
  void flush(std::string& visible);

 private:
  StopSearch<std::string> search_;
  std::string held_;
  bool is_stopped_ = false;
};

// Over ids. One thread at a time.
class StopTokens {
 public:
  // Throws StatusError 1 for an empty sequence.
  explicit StopTokens(const std::vector<std::vector<int32_t>>& sequences);

  // Appends to `released` the ids that no sequence can begin with any more. True once one is
  // complete: its ids are dropped, those before it released, and later ids are dropped.
  [[nodiscard]] bool push(int32_t id, std::vector<int32_t>& released);
  // Appends the ids that were held back.
  void flush(std::vector<int32_t>& released);

 private:
  StopSearch<std::vector<int32_t>> search_;
  std::vector<int32_t> held_;
  bool is_stopped_ = false;
};

}  // namespace litert_native::language
