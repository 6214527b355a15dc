// Text from ids by a table: every character once it is whole.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "litert/language/text_decoder.h"
#include "litert/language/token_table.h"
#include "litert/language/utf8_character.h"

namespace litert_native::language {

// One thread at a time. A copy goes on from the same state. Ids outside the table give no text.
//
// Joined, the pieces are what the tokenizer decodes from all ids at once, but for one case: in a
// run of byte tokens that is not UTF-8 as a whole, some tokenizers give up the whole characters
// too, which have been handed out here by then.
class Detokenizer final : public TextDecoder {
 public:
  // In a continuation nothing is dropped at the start.
  explicit Detokenizer(std::shared_ptr<const TokenTable> table, bool is_continuation = false);

  void push(int32_t id, std::string& text) override;
  void flush(std::string& text) override;

 private:
  [[nodiscard]] std::string_view next_row(size_t id);
  void take_byte(uint8_t byte, std::string& text);

  std::shared_ptr<const TokenTable> table_;
  Utf8Character character_;
  bool is_at_start_;
};

}  // namespace litert_native::language
