#include "litert/language/stop_matcher.h"

#include <algorithm>

#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

// More than a token has, so that text is taken without allocation.
constexpr size_t kTextReserve = 256;

template <typename Sequence>
std::vector<size_t> borders_of(const Sequence& sequence) {
  std::vector<size_t> borders(sequence.size(), 0);
  for (size_t i = 1; i < sequence.size(); ++i) {
    size_t border = borders[i - 1];
    while (border > 0 && sequence[border] != sequence[i]) {
      border = borders[border - 1];
    }
    borders[i] = sequence[border] == sequence[i] ? border + 1 : 0;
  }
  return borders;
}

template <typename Sequence>
size_t longest(const std::vector<Sequence>& sequences) {
  size_t length = 0;
  for (const Sequence& sequence : sequences) {
    length = std::max(length, sequence.size());
  }
  return length;
}

// Moves all but the last `num_kept` symbols to `released`.
template <typename Held>
void release(Held& held, size_t num_kept, Held& released) {
  const auto end = held.end() - static_cast<std::ptrdiff_t>(num_kept);
  released.insert(released.end(), held.begin(), end);
  held.erase(held.begin(), end);
}

}  // namespace

template <typename Sequence>
StopSearch<Sequence>::StopSearch(const std::vector<Sequence>& sequences) {
  for (const Sequence& sequence : sequences) {
    if (sequence.empty()) {
      throw runtime::StatusError(1, "a stop sequence is empty; expected one symbol or more");
    }
    states_.push_back({.sequence = sequence, .borders = borders_of(sequence)});
  }
}

template <typename Sequence>
bool StopSearch<Sequence>::State::push(Symbol symbol) {
  while (num_matched > 0 && sequence[num_matched] != symbol) {
    num_matched = borders[num_matched - 1];
  }
  num_matched += sequence[num_matched] == symbol ? 1 : 0;
  if (num_matched < sequence.size()) {
    return false;
  }
  num_matched = borders.back();
  return true;
}

template <typename Sequence>
size_t StopSearch<Sequence>::push(Symbol symbol) {
  size_t length = 0;
  for (State& state : states_) {
    if (state.push(symbol)) {
      length = std::max(length, state.sequence.size());
    }
  }
  return length;
}

template <typename Sequence>
size_t StopSearch<Sequence>::num_open() const {
  size_t num_symbols = 0;
  for (const State& state : states_) {
    num_symbols = std::max(num_symbols, state.num_matched);
  }
  return num_symbols;
}

template class StopSearch<std::string>;
template class StopSearch<std::vector<int32_t>>;

StopMatcher::StopMatcher(const std::vector<std::string>& stop_strings) : search_(stop_strings) {
  held_.reserve(longest(stop_strings) + kTextReserve);
}

bool StopMatcher::push(std::string_view text, std::string& visible) {
  if (is_stopped_) {
    return true;
  }
  for (const char byte : text) {
    held_ += byte;
    const size_t length = search_.push(byte);
    if (length > 0) {
      release(held_, length, visible);
      held_.clear();
      is_stopped_ = true;
      return true;
    }
  }
  release(held_, search_.num_open(), visible);
  return false;
}

void StopMatcher::flush(std::string& visible) { release(held_, 0, visible); }

StopTokens::StopTokens(const std::vector<std::vector<int32_t>>& sequences) : search_(sequences) {
  held_.reserve(longest(sequences) + 1);
}

bool StopTokens::push(int32_t id, std::vector<int32_t>& released) {
  if (is_stopped_) {
    return true;
  }
  held_.push_back(id);
  const size_t length = search_.push(id);
  is_stopped_ = length > 0;
  release(held_, is_stopped_ ? length : search_.num_open(), released);
  if (is_stopped_) {
    held_.clear();
  }
  return is_stopped_;
}

void StopTokens::flush(std::vector<int32_t>& released) { release(held_, 0, released); }

}  // namespace litert_native::language
