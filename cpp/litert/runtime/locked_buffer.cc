#include "litert/runtime/locked_buffer.h"

#include "litert/runtime/library.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {

LockedBuffer::LockedBuffer(LiteRtTensorBuffer buffer, LiteRtTensorBufferLockMode mode)
    : buffer_(buffer) {
  const Library& api = library();
  size_t size_bytes = 0;
  void* data = nullptr;
  check(api.get_tensor_buffer_tensor_type(buffer, &type_), "ask a tensor buffer");
  check(api.get_tensor_buffer_packed_size(buffer, &size_bytes), "ask a tensor buffer");
  check(api.lock_tensor_buffer(buffer, &data, mode), "lock a tensor buffer");
  bytes_ = {static_cast<std::byte*>(data), size_bytes};
}

LockedBuffer::~LockedBuffer() { library().unlock_tensor_buffer(buffer_); }

}  // namespace litert_native::runtime
