// How ids become text: what a token loop is given.
#pragma once

#include <cstdint>
#include <string>

namespace litert_native::language {

// Of one generation: holds what is not a whole character yet. One thread at a time.
class TextDecoder {
 public:
  virtual ~TextDecoder() = default;

  // Appends the text that is complete with this id: whole characters, UTF-8.
  virtual void push(int32_t id, std::string& text) = 0;

  // Appends what is left, a broken character as U+FFFD.
  virtual void flush(std::string& text) = 0;

 protected:
  TextDecoder() = default;
  TextDecoder(const TextDecoder&) = default;
  TextDecoder& operator=(const TextDecoder&) = default;
};

}  // namespace litert_native::language
