// One character of UTF-8, byte by byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace litert_native::language {

// Takes the bytes of one character and refuses those that cannot stand there: no overlong forms,
// no surrogates, nothing above U+10FFFF.
class Utf8Character {
 public:
  // False, and nothing changes, where the byte cannot come next.
  [[nodiscard]] bool push(uint8_t byte) {
    if (num_bytes_ == 0 ? !start(byte) : byte < lowest_ || byte > highest_) {
      return false;
    }
    if (num_bytes_ > 0) {
      lowest_ = 0x80;
      highest_ = 0xBF;
    }
    bytes_[num_bytes_++] = static_cast<char>(byte);
    return true;
  }

  [[nodiscard]] bool is_complete() const { return num_bytes_ > 0 && num_bytes_ == length_; }
  [[nodiscard]] std::string_view bytes() const { return {bytes_.data(), num_bytes_}; }
  void clear() { num_bytes_ = 0; }

 private:
  // The table of well-formed byte sequences of the Unicode standard (table 3-7).
  [[nodiscard]] bool start(uint8_t byte) {
    if ((byte >= 0x80 && byte < 0xC2) || byte > 0xF4) {
      return false;
    }
    length_ = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    lowest_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    highest_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    return true;
  }

  std::array<char, 4> bytes_{};
  size_t num_bytes_ = 0;
  size_t length_ = 0;    // of the whole character
  uint8_t lowest_ = 0;   // the byte that may come next, from
  uint8_t highest_ = 0;  // and to
};

[[nodiscard]] inline bool is_whole_utf8(std::string_view bytes) {
  Utf8Character character;
  for (const char byte : bytes) {
    if (!character.push(static_cast<uint8_t>(byte))) {
      return false;
    }
    if (character.is_complete()) {
      character.clear();
    }
  }
  return character.bytes().empty();
}

}  // namespace litert_native::language
