// What each id stands for in bytes. Immutable, shared by every detokenizer of a tokenizer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "litert/language/utf8_character.h"
#include "litert/runtime/status.h"

namespace litert_native::language {

// How the rows of a table join to text.
struct TokenTableRules {
  // Of a broken character each byte becomes one U+FFFD, or all of them together one.
  bool replaces_each_byte = false;
  // The start rows serve until there is text, or for the first row that is not empty.
  bool start_lasts_until_text = false;
};

class TokenTable {
 public:
  enum class Kind : uint8_t {
    kText,     // whole characters, perhaps none
    kBytes,    // may hold parts of characters
    kSkipped,  // a special token: gives no text
  };

  // `start_rows` are what ids give at the start of a text, where spaces may be dropped; none where
  // they give the same everywhere. Throws StatusError 1 for lengths that do not fit.
  TokenTable(std::span<const std::string_view> rows, std::span<const std::string_view> start_rows,
             std::span<const uint8_t> is_skipped, TokenTableRules rules)
      : rows_(rows), start_rows_(start_rows), rules_(rules) {
    if (is_skipped.size() != rows.size() ||
        (!start_rows.empty() && start_rows.size() != rows.size())) {
      throw runtime::StatusError(
          1, "token table: expected " + std::to_string(rows.size()) +
                 " start rows, or none, and as many marks for special tokens, got " +
                 std::to_string(start_rows.size()) + " and " + std::to_string(is_skipped.size()));
    }
    kinds_.reserve(rows.size());
    for (size_t id = 0; id < rows.size(); ++id) {
      const bool is_text =
          is_whole_utf8(rows[id]) && (start_rows.empty() || is_whole_utf8(start_rows[id]));
      kinds_.push_back(is_skipped[id] != 0 ? Kind::kSkipped : is_text ? Kind::kText : Kind::kBytes);
    }
  }

  [[nodiscard]] size_t size() const { return kinds_.size(); }
  [[nodiscard]] TokenTableRules rules() const { return rules_; }
  // For ids below size().
  [[nodiscard]] Kind kind(size_t id) const { return kinds_[id]; }
  [[nodiscard]] std::string_view row(size_t id) const { return rows_[id]; }
  [[nodiscard]] std::string_view start_row(size_t id) const {
    return start_rows_.is_empty() ? rows_[id] : start_rows_[id];
  }

 private:
  // All rows in one piece of memory.
  class Rows {
   public:
    explicit Rows(std::span<const std::string_view> rows) {
      size_t num_bytes = 0;
      for (const std::string_view row : rows) {
        num_bytes += row.size();
      }
      if (num_bytes > std::numeric_limits<uint32_t>::max()) {
        throw runtime::StatusError(1, "token table: expected less than 4 GiB of rows");
      }
      bytes_.reserve(num_bytes);
      ends_.reserve(rows.size());
      for (const std::string_view row : rows) {
        bytes_ += row;
        ends_.push_back(static_cast<uint32_t>(bytes_.size()));
      }
    }

    [[nodiscard]] bool is_empty() const { return ends_.empty(); }
    [[nodiscard]] std::string_view operator[](size_t id) const {
      const uint32_t begin = id == 0 ? 0 : ends_[id - 1];
      return {bytes_.data() + begin, ends_[id] - begin};
    }

   private:
    std::string bytes_;
    std::vector<uint32_t> ends_;
  };

  Rows rows_;
  Rows start_rows_;
  std::vector<Kind> kinds_;
  TokenTableRules rules_;
};

}  // namespace litert_native::language
