#include "litert/language/signature_slots.h"

#include <algorithm>

#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

constexpr int kNotFound = 6;

}  // namespace

size_t find_signature(const runtime::Model& model, const std::string& key) {
  const std::vector<runtime::SignatureSpec>& signatures = model.signatures();
  const auto found =
      std::find_if(signatures.begin(), signatures.end(),
                   [&](const runtime::SignatureSpec& signature) { return signature.key == key; });
  if (found == signatures.end()) {
    throw runtime::StatusError(kNotFound, "the model has no signature '" + key + "'");
  }
  return static_cast<size_t>(found - signatures.begin());
}

size_t find_slot(const std::vector<runtime::NamedSlot>& names, const std::string& name) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const runtime::NamedSlot& named) {
    return named.name == name;
  });
  if (found == names.end()) {
    throw runtime::StatusError(kNotFound, "the model has no tensor '" + name + "'");
  }
  return found->slot;
}

}  // namespace litert_native::language
