#include "litert/language/embedder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "litert/language/signature_slots.h"

namespace litert_native::language {

Embedder::Embedder(std::shared_ptr<runtime::CompiledModel> compiled,
                   const std::vector<EmbedderRoles>& roles)
    : compiled_(std::move(compiled)) {
  const std::lock_guard lock(compiled_->mutex());
  for (const EmbedderRoles& role : roles) {
    const size_t index = find_signature(compiled_->model(), role.key);
    const runtime::SignatureSpec& spec = compiled_->signature(index);
    std::vector<runtime::Shape> shapes;
    for (const runtime::Slot& input : spec.inputs) {
      shapes.push_back(input.shape);
    }
    Signature& signature = signatures_.emplace_back();
    signature.num_tokens = role.num_tokens;
    signature.run = std::make_unique<runtime::BoundRun>(compiled_, index, std::move(shapes));
    signature.tokens =
        values_of<int32_t>(*signature.run->input_memory(find_slot(spec.input_names, role.tokens)));
    signature.embeddings = values_of<const std::byte>(
        *signature.run->output_memory(find_slot(spec.output_names, role.embeddings)));
  }
  std::sort(signatures_.begin(), signatures_.end(),
            [](const Signature& a, const Signature& b) { return a.num_tokens < b.num_tokens; });
}

void Embedder::embed(std::span<const int32_t> ids, std::span<std::byte> rows) {
  const std::lock_guard lock(compiled_->mutex());
  const size_t row_bytes = rows.size() / ids.size();
  for (size_t done = 0; done < ids.size();) {
    const size_t left = ids.size() - done;
    const auto fits =
        std::find_if(signatures_.begin(), signatures_.end(),
                     [&](const Signature& signature) { return signature.num_tokens >= left; });
    Signature& signature = fits == signatures_.end() ? signatures_.back() : *fits;
    const size_t count = std::min(left, signature.num_tokens);
    std::fill(signature.tokens.begin(), signature.tokens.end(), 0);
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(done), count, signature.tokens.begin());
    signature.run->run();
    std::memcpy(rows.data() + done * row_bytes, signature.embeddings.data(), count * row_bytes);
    done += count;
  }
}

}  // namespace litert_native::language
