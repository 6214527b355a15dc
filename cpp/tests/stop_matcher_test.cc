// Stop strings and stop sequences, against a search of the whole text.
#include "litert/language/stop_matcher.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace {

using litert_native::language::StopMatcher;
using litert_native::language::StopTokens;
using litert_native::tests::error_of;
using Ids = std::vector<int32_t>;

// What comes before the stop that ends first, the longest of those; nothing where none comes.
template <typename Sequence>
std::optional<Sequence> before_stop(const Sequence& whole, const std::vector<Sequence>& stops) {
  for (size_t end = 1; end <= whole.size(); ++end) {
    size_t length = 0;
    for (const Sequence& stop : stops) {
      if (stop.size() <= end && stop.size() > length &&
          std::equal(stop.begin(), stop.end(),
                     whole.begin() + static_cast<std::ptrdiff_t>(end - stop.size()))) {
        length = stop.size();
      }
    }
    if (length > 0) {
      return Sequence(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(end - length));
    }
  }
  return std::nullopt;
}

void text_cut_anywhere_gives_what_a_search_of_it_gives() {
  std::mt19937 random(1);
  const auto below = [&](uint32_t limit) { return random() % limit; };
  const auto word = [&](size_t length) {
    std::string text;
    while (text.size() < length) {
      text += static_cast<char>('a' + below(2));
    }
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    const std::string text = word(below(20));
    std::vector<std::string> stops(below(4));
    std::generate(stops.begin(), stops.end(), [&] { return word(1 + below(6)); });

    StopMatcher matcher(stops);
    std::string visible;
    bool is_stopped = false;
    for (size_t begin = 0; begin < text.size();) {
      const size_t length = 1 + below(4);
      is_stopped = matcher.push(std::string_view(text).substr(begin, length), visible);
      begin += length;
    }
    matcher.flush(visible);

    const std::optional<std::string> expected = before_stop(text, stops);
    CHECK(is_stopped == expected.has_value());
    CHECK(visible == expected.value_or(text));
  }
}

void ids_give_what_a_search_of_them_gives() {
  std::mt19937 random(2);
  const auto ids = [&](size_t length) {
    Ids sequence(length);
    std::generate(sequence.begin(), sequence.end(),
                  [&] { return static_cast<int32_t>(random() % 2); });
    return sequence;
  };
  for (int round = 0; round < 20000; ++round) {
    const Ids whole = ids(random() % 20);
    std::vector<Ids> stops(random() % 4);
    std::generate(stops.begin(), stops.end(), [&] { return ids(1 + random() % 6); });

    StopTokens matcher(stops);
    Ids released;
    bool is_stopped = false;
    for (const int32_t id : whole) {
      is_stopped = matcher.push(id, released);
    }
    matcher.flush(released);

    const std::optional<Ids> expected = before_stop(whole, stops);
    CHECK(is_stopped == expected.has_value());
    CHECK(released == expected.value_or(whole));
  }
}

void only_a_possible_beginning_is_held_back() {
  StopMatcher matcher({"\n\nUser:"});
  std::string visible;
  CHECK(!matcher.push("one\n", visible) && visible == "one");
  CHECK(!matcher.push("two\n\nUs", visible) && visible == "one\ntwo");
  CHECK(!matcher.push("ual", visible) && visible == "one\ntwo\n\nUsual");
  CHECK(!matcher.push("\n", visible) && visible == "one\ntwo\n\nUsual");
  matcher.flush(visible);
  CHECK(visible == "one\ntwo\n\nUsual\n");
}

void ids_are_released_as_soon_as_no_sequence_can_begin_with_them() {
  StopTokens matcher({{1, 1, 2}});
  Ids released;
  CHECK(!matcher.push(1, released) && !matcher.push(1, released) && released.empty());
  CHECK(!matcher.push(1, released) && released == Ids{1});
  CHECK(!matcher.push(3, released) && released == (Ids{1, 1, 1, 3}));
}

void nothing_is_visible_after_a_stop() {
  StopMatcher matcher({"b"});
  std::string visible;
  CHECK(matcher.push("abc", visible) && matcher.push("d", visible));
  matcher.flush(visible);
  CHECK(visible == "a");
}

void empty_stops_are_refused() {
  CHECK(error_of([] { const StopMatcher matcher({"a", ""}); }).status() == 1);
  CHECK(error_of([] { const StopTokens matcher({Ids{}}); }).status() == 1);
}

}  // namespace

int main() {
  text_cut_anywhere_gives_what_a_search_of_it_gives();
  ids_give_what_a_search_of_them_gives();
  only_a_possible_beginning_is_held_back();
  ids_are_released_as_soon_as_no_sequence_can_begin_with_them();
  nothing_is_visible_after_a_stop();
  empty_stops_are_refused();
}
