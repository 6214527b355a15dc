// Text from ids: characters in pieces, broken ones, and what is dropped at the start.
#include "litert/language/detokenizer.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

namespace {

using litert_native::language::Detokenizer;
using litert_native::language::is_whole_utf8;
using litert_native::language::TokenTable;
using litert_native::language::TokenTableRules;
using litert_native::tests::contains;
using litert_native::tests::error_of;
using Rows = std::vector<std::string_view>;
using Ids = std::vector<int32_t>;

const std::string kBroken = "\xEF\xBF\xBD";

std::shared_ptr<const TokenTable> table_of(const Rows& rows, const Rows& start_rows = {},
                                           TokenTableRules rules = {},
                                           std::vector<uint8_t> is_skipped = {}) {
  is_skipped.resize(rows.size(), 0);
  return std::make_shared<TokenTable>(rows, start_rows, is_skipped, rules);
}

std::vector<std::string> pieces_of(Detokenizer detokenizer, const Ids& ids) {
  std::vector<std::string> pieces;
  for (const int32_t id : ids) {
    detokenizer.push(id, pieces.emplace_back());
    CHECK(is_whole_utf8(pieces.back()));
  }
  detokenizer.flush(pieces.emplace_back());
  return pieces;
}

std::string text_of(const std::shared_ptr<const TokenTable>& table, const Ids& ids,
                    bool is_continuation = false) {
  std::string text;
  for (const std::string& piece : pieces_of(Detokenizer(table, is_continuation), ids)) {
    text += piece;
  }
  return text;
}

void a_character_comes_once_it_is_whole() {
  const auto table = table_of({"\xF0\x9F", "\x98", "\x80!", "a"});
  const std::vector<std::string> expected = {"", "", "\xF0\x9F\x98\x80!", ""};
  CHECK(pieces_of(Detokenizer(table), {0, 1, 2}) == expected);
}

void a_broken_character_becomes_one_mark_or_one_a_byte() {
  const Rows rows = {"\xE2\x82", "\x41", "\xF0\x9F\x98", "\xFF", "\xED\xA0\x80"};
  const auto joined = table_of(rows);
  const auto each = table_of(rows, {}, {.replaces_each_byte = true});
  CHECK(text_of(joined, {0, 1}) == kBroken + "A");
  CHECK(text_of(each, {0, 1}) == kBroken + kBroken + "A");
  CHECK(text_of(joined, {2}) == kBroken);
  CHECK(text_of(each, {2}) == kBroken + kBroken + kBroken);
  CHECK(text_of(joined, {2, 3}) == kBroken + kBroken);
  CHECK(text_of(joined, {0, 0}) == kBroken + kBroken);
  // A surrogate is no character.
  CHECK(text_of(joined, {4}) == kBroken + kBroken + kBroken);
}

void every_sequence_of_three_bytes_agrees_with_the_standard() {
  // Well-formed as a whole, told by the code point that the bytes would encode.
  const auto is_well_formed = [](uint32_t a, uint32_t b, uint32_t c) {
    const auto continues = [](uint32_t byte) { return (byte & 0xC0) == 0x80; };
    if ((a & 0xF0) != 0xE0 || !continues(b) || !continues(c)) {
      return false;
    }
    const uint32_t point = (a & 0x0F) << 12 | (b & 0x3F) << 6 | (c & 0x3F);
    return point >= 0x800 && (point < 0xD800 || point > 0xDFFF);
  };
  for (uint32_t a = 0xE0; a < 0xF0; ++a) {
    for (uint32_t b = 0x70; b < 0x100; ++b) {
      for (uint32_t c = 0x70; c < 0x100; ++c) {
        const char bytes[] = {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)};
        CHECK(is_whole_utf8({bytes, 3}) == is_well_formed(a, b, c));
      }
    }
  }
  CHECK(is_whole_utf8("\xF4\x8F\xBF\xBF") && !is_whole_utf8("\xF4\x90\x80\x80"));
  CHECK(is_whole_utf8("\xF0\x90\x80\x80") && !is_whole_utf8("\xF0\x8F\xBF\xBF"));
  CHECK(!is_whole_utf8("\xC1\xBF") && !is_whole_utf8("\xC3") && is_whole_utf8(""));
}

void a_start_row_serves_the_first_row_that_is_not_empty() {
  const auto table = table_of({"", " ", " a"}, {"", "", "a"});
  CHECK(text_of(table, {0, 2, 2}) == "a a");
  CHECK(text_of(table, {1, 2}) == " a");
  CHECK(text_of(table, {2, 2}, true) == " a a");
}

void a_start_row_serves_until_there_is_text_where_the_table_says_so() {
  const auto table = table_of({"", " ", " a"}, {"", "", "a"}, {.start_lasts_until_text = true});
  CHECK(text_of(table, {1, 0, 1, 2, 2}) == "a a");
}

void special_and_unknown_ids_give_no_text() {
  const auto table = table_of({"\xC3", "\xA9", "<s>"}, {}, {}, {0, 0, 1});
  // A special token in between does not break a character; it is not there.
  CHECK(text_of(table, {2, 0, 2, 1, -1, 3, INT32_MAX, INT32_MIN}) == "\xC3\xA9");
}

void an_empty_row_ends_a_character() {
  CHECK(text_of(table_of({"\xC3", "\xA9", ""}), {0, 2, 1}) == kBroken + kBroken);
}

void a_copy_goes_on_by_itself() {
  Detokenizer first(table_of({"\xC3", "\xA9", "x"}));
  std::string text;
  first.push(0, text);
  Detokenizer second = first;
  first.push(1, text);
  second.push(2, text);
  CHECK(text == "\xC3\xA9" + kBroken + "x");
}

void tables_whose_lengths_differ_are_refused() {
  const auto make = [](const Rows& start_rows, size_t num_marks) {
    return error_of([&] {
      const Rows rows = {"a", "b"};
      const std::vector<uint8_t> marks(num_marks, 0);
      const TokenTable table(rows, start_rows, marks, {});
    });
  };
  CHECK(make({"a"}, 2).status() == 1 && contains(make({"a"}, 2).what(), "expected 2 start rows"));
  CHECK(make({}, 3).status() == 1);
  CHECK(make({}, 2).status() == 0);
}

}  // namespace

int main() {
  a_character_comes_once_it_is_whole();
  a_broken_character_becomes_one_mark_or_one_a_byte();
  every_sequence_of_three_bytes_agrees_with_the_standard();
  a_start_row_serves_the_first_row_that_is_not_empty();
  a_start_row_serves_until_there_is_text_where_the_table_says_so();
  special_and_unknown_ids_give_no_text();
  an_empty_row_ends_a_character();
  a_copy_goes_on_by_itself();
  tables_whose_lengths_differ_are_refused();
}
