#include "litert/language/detokenizer.h"

#include <string_view>
#include <utility>

namespace litert_native::language {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

Detokenizer::Detokenizer(std::shared_ptr<const TokenTable> table, bool is_continuation)
    : table_(std::move(table)), is_at_start_(!is_continuation) {}

void Detokenizer::push(int32_t id, std::string& text) {
  const auto index = static_cast<size_t>(id);
  if (id < 0 || index >= table_->size()) {
    return;
  }
  switch (table_->kind(index)) {
    case TokenTable::Kind::kSkipped:
      return;
    case TokenTable::Kind::kText:
      flush(text);
      text += next_row(index);
      return;
    case TokenTable::Kind::kBytes:
      for (const char byte : next_row(index)) {
        take_byte(static_cast<uint8_t>(byte), text);
      }
      return;
  }
}

void Detokenizer::flush(std::string& text) {
  size_t num_replacements = character_.bytes().size();
  if (num_replacements > 1 && !table_->rules().replaces_each_byte) {
    num_replacements = 1;
  }
  for (size_t i = 0; i < num_replacements; ++i) {
    text += kReplacement;
  }
  character_.clear();
}

std::string_view Detokenizer::next_row(size_t id) {
  const std::string_view row = table_->row(id);
  if (!is_at_start_) {
    return row;
  }
  const std::string_view start_row = table_->start_row(id);
  is_at_start_ = table_->rules().start_lasts_until_text ? start_row.empty() : row.empty();
  return start_row;
}

void Detokenizer::take_byte(uint8_t byte, std::string& text) {
  if (!character_.push(byte)) {
    flush(text);
    if (!character_.push(byte)) {
      text += kReplacement;
      return;
    }
  }
  if (character_.is_complete()) {
    text += character_.bytes();
    character_.clear();
  }
}

}  // namespace litert_native::language
