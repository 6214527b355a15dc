// From the names of tensors to their places in the C API's lists.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "litert/runtime/model.h"
#include "litert/runtime/tensor_memory.h"

namespace litert_native::language {

// Throws StatusError 6 where the model has no such signature.
[[nodiscard]] size_t find_signature(const runtime::Model& model, const std::string& key);

// Throws StatusError 6 where no slot has that name.
[[nodiscard]] size_t find_slot(const std::vector<runtime::NamedSlot>& names,
                               const std::string& name);

// The memory of a tensor as values of T.
template <typename T>
std::span<T> values_of(const runtime::TensorMemory& memory) {
  return {reinterpret_cast<T*>(memory.data()), memory.size_bytes() / sizeof(T)};
}

}  // namespace litert_native::language
