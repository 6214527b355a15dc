// A reader of FlatBuffers that checks every offset against the buffer.
//
// Format: the FlatBuffers internals document. Little-endian: a uint32 at 0 leads to the root table;
// a table starts with an int32 that leads back to its vtable (uint16 size of the vtable, uint16
// size of the table, then a uint16 offset per field, 0 where absent).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>
#include <type_traits>

namespace litert_native::runtime::flatbuffer {

// An offset or length points outside of the buffer.
class FormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Buffer {
 public:
  explicit Buffer(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  [[nodiscard]] T read(size_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, slice(offset, sizeof(T)).data(), sizeof(T));
    return value;
  }

  [[nodiscard]] std::span<const std::byte> slice(uint64_t offset, uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) {
      throw FormatError("an offset points outside of the file");
    }
    return bytes_.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
  }

  // Follows the uint32 offset stored at `offset`.
  [[nodiscard]] size_t follow(size_t offset) const { return offset + read<uint32_t>(offset); }

 private:
  std::span<const std::byte> bytes_;
};

// A vector of scalars, or of offsets to tables or strings.
template <typename T>
class Vector {
 public:
  Vector() = default;
  Vector(const Buffer& buffer, size_t position) {
    const size_t length = buffer.read<uint32_t>(position);
    first_ = position + sizeof(uint32_t);
    elements_ = buffer.slice(first_, uint64_t{length} * sizeof(T));
  }

  [[nodiscard]] size_t size() const { return elements_.size() / sizeof(T); }
  [[nodiscard]] T operator[](size_t index) const {
    T value;
    std::memcpy(&value, elements_.subspan(index * sizeof(T), sizeof(T)).data(), sizeof(T));
    return value;
  }
  // Where element `index` stands in the buffer.
  [[nodiscard]] size_t position(size_t index) const { return first_ + index * sizeof(T); }
  [[nodiscard]] std::span<const std::byte> bytes() const { return elements_; }

 private:
  size_t first_ = 0;
  std::span<const std::byte> elements_;
};

// A view into a Buffer, which must outlive it.
class Table {
 public:
  Table(const Buffer& buffer, size_t position) : buffer_(&buffer), position_(position) {
    const int64_t vtable =
        static_cast<int64_t>(position) - static_cast<int64_t>(buffer.read<int32_t>(position));
    if (vtable < 0) {
      throw FormatError("a table points outside of the file");
    }
    vtable_ = static_cast<size_t>(vtable);
    vtable_size_ = buffer.read<uint16_t>(vtable_);
  }

  static Table root(const Buffer& buffer) { return Table(buffer, buffer.follow(0)); }

  template <typename T>
  [[nodiscard]] T scalar(size_t field, T absent) const {
    const size_t position = field_position(field);
    return position == 0 ? absent : buffer_->read<T>(position);
  }

  [[nodiscard]] bool has(size_t field) const { return field_position(field) != 0; }

  // Where the field stands in the buffer; 0 where it is absent.
  [[nodiscard]] size_t field_position(size_t field) const {
    const size_t entry = 2 * sizeof(uint16_t) + field * sizeof(uint16_t);
    if (entry + sizeof(uint16_t) > vtable_size_) {
      return 0;
    }
    const size_t offset = buffer_->read<uint16_t>(vtable_ + entry);
    return offset == 0 ? 0 : position_ + offset;
  }

  [[nodiscard]] size_t position() const { return position_; }

  template <typename T>
  [[nodiscard]] Vector<T> vector(size_t field) const {
    const size_t position = field_position(field);
    return position == 0 ? Vector<T>() : Vector<T>(*buffer_, buffer_->follow(position));
  }

  [[nodiscard]] std::string_view string(size_t field) const {
    const std::span<const std::byte> bytes = vector<std::byte>(field).bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  [[nodiscard]] Table table(size_t field) const {
    return Table(*buffer_, buffer_->follow(field_position(field)));
  }

  // Calls `visit(Table)` for each table of a vector of tables.
  template <typename Visit>
  void for_each_table(size_t field, Visit visit) const {
    const Vector<uint32_t> tables = vector<uint32_t>(field);
    for (size_t i = 0; i < tables.size(); ++i) {
      visit(Table(*buffer_, buffer_->follow(tables.position(i))));
    }
  }

 private:
  const Buffer* buffer_;
  size_t position_;
  size_t vtable_ = 0;
  size_t vtable_size_ = 0;
};

}  // namespace litert_native::runtime::flatbuffer
