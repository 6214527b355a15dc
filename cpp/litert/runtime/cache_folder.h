// The folder in which things that were found out once are kept for later processes.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "litert/runtime/file_mapping.h"

namespace litert_native::runtime {

// Immutable. Whatever goes wrong with the folder costs time later and nothing else, so nothing here
// throws but open().
class CacheFolder {
 public:
  // Makes the folder, for its owner alone (0700). Null where that cannot be done, or where the path
  // cannot be handed to the library (a quote, a newline).
  static std::shared_ptr<const CacheFolder> open(const std::string& path);

  explicit CacheFolder(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] std::string path_of(const std::string& name) const { return path_ + "/" + name; }

  // A small text; nothing where there is none.
  [[nodiscard]] std::optional<std::string> read_note(const std::string& name) const;
  // Replaces the note as a whole: a reader sees the old or the new one.
  void write_note(const std::string& name, const std::string& text) const noexcept;

 private:
  std::string path_;
};

// The content hash of a file, remembered by what the file is: hashing a model again at every load
// would eat much of what the packed weights save. Not of one that has just changed, whose times
// would not tell the next change. `folder` may be null.
[[nodiscard]] std::string content_hash(const CacheFolder* folder, const OpenFile& file,
                                       const FileMapping& mapping);

// What results and packed weights depend on beside the model: the library in use and the CPU. As
// 32 hexadecimal digits.
[[nodiscard]] const std::string& machine_hash();

// `identity` as words, for notes.
[[nodiscard]] std::string to_text(const FileIdentity& identity);

}  // namespace litert_native::runtime
