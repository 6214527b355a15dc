#include "litert/runtime/model_file.h"

#include <cstddef>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "files.h"
#include "litert/runtime/graph_check.h"
#include "litert/runtime/quantization_check.h"

namespace {

using litert_native::runtime::check_graph;
using litert_native::runtime::FileSignature;
using litert_native::runtime::FileTensor;
using litert_native::runtime::find_fatal_quantization;
using litert_native::runtime::ModelFile;
using litert_native::runtime::read_model_file;
using litert_native::runtime::read_signature_ports;
using litert_native::runtime::SignaturePorts;
using litert_native::runtime::StatusError;
using litert_native::tests::error_of;
using litert_native::tests::read_file;

// Between them they have every table that the reader knows.
constexpr std::string_view kModels[] = {
    "add.tflite",
    "custom_op.tflite",
    "dynamic_batch.tflite",
    "while_loop.tflite",
    "int8_per_channel_conv.tflite",
    "counter_variable.tflite",
};

void test_signatures_are_read() {
  const std::vector<std::byte> bytes = read_file("add.tflite");
  const ModelFile file = read_model_file(bytes);
  CHECK(file.signatures.size() == 2);
  const FileSignature& add = file.signatures[0];
  CHECK(add.key == "add");
  CHECK(add.inputs.size() == 2);
  CHECK(add.outputs.size() == 1);
  CHECK(add.outputs[0].first == "sum");
  const FileTensor& sum = file.subgraphs[add.subgraph].tensors[add.outputs[0].second];
  CHECK(sum.element_type == kLiteRtElementTypeFloat32);
  CHECK(sum.shape == std::vector<int32_t>{1, 4});
}

void test_signature_ports_are_what_the_whole_file_says() {
  for (const std::string_view name : kModels) {
    const std::vector<std::byte> bytes = read_file(std::string(name));
    const ModelFile file = read_model_file(bytes);
    const std::vector<SignaturePorts> all = read_signature_ports(bytes);
    CHECK(all.size() == file.signatures.size());
    for (size_t i = 0; i < all.size(); ++i) {
      const FileSignature& signature = file.signatures[i];
      CHECK(all[i].key == signature.key);
      CHECK(all[i].inputs.size() == signature.inputs.size());
      for (size_t j = 0; j < all[i].inputs.size(); ++j) {
        const FileTensor& tensor =
            file.subgraphs[signature.subgraph].tensors[signature.inputs[j].second];
        CHECK(all[i].inputs[j].first == signature.inputs[j].first);
        CHECK(all[i].inputs[j].second.name == tensor.name);
        CHECK(all[i].inputs[j].second.shape == tensor.shape);
        CHECK(all[i].inputs[j].second.element_type == tensor.element_type);
      }
    }
  }
}

void test_open_dimensions_are_read() {
  const std::vector<std::byte> bytes = read_file("dynamic_batch_no_has_rank.tflite");
  const ModelFile file = read_model_file(bytes);
  const FileTensor& input =
      file.subgraphs[0].tensors[static_cast<size_t>(file.subgraphs[0].inputs[0])];
  CHECK(input.shape[0] == 1);
  CHECK(input.signature[0] == -1);
}

void test_quantization_per_channel_is_read() {
  const std::vector<std::byte> bytes = read_file("int8_per_channel_conv.tflite");
  const ModelFile file = read_model_file(bytes);
  bool has_per_channel = false;
  for (const FileTensor& tensor : file.subgraphs[0].tensors) {
    CHECK(tensor.scales.size() == tensor.zero_points.size() || tensor.zero_points.empty());
    has_per_channel |= tensor.scales.size() > 1;
  }
  CHECK(has_per_channel);
}

// Refused with status 501, or read to the end; nothing else, and no byte behind the copy is read.
void read_damaged(const std::vector<std::byte>& bytes) {
  try {
    const ModelFile file = read_model_file(bytes);
    (void)check_graph(file);
    (void)find_fatal_quantization(file);
    (void)read_signature_ports(bytes);
  } catch (const StatusError& error) {
    CHECK(error.status() == 501);
  }
}

void test_every_truncation_is_survived() {
  for (const std::string_view name : kModels) {
    const std::vector<std::byte> whole = read_file(std::string(name));
    for (size_t size = 0; size < whole.size(); ++size) {
      read_damaged({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
    }
  }
  CHECK(error_of([] { (void)read_model_file({}); }).status() == 501);
}

void test_every_damaged_byte_is_survived() {
  for (const std::string_view name : kModels) {
    std::vector<std::byte> bytes = read_file(std::string(name));
    for (std::byte& byte : bytes) {
      const std::byte before = byte;
      for (const unsigned value : {0x00U, 0x01U, 0x7FU, 0x80U, 0xFFU}) {
        byte = static_cast<std::byte>(value);
        read_damaged(bytes);
      }
      byte = before;
    }
  }
}

// Several bytes at once, the same on every machine. LITERT_TEST_FULL=1 makes it long.
void test_random_damage_is_survived() {
  const char* const full = std::getenv("LITERT_TEST_FULL");
  const int rounds = full != nullptr && std::string_view(full) == "1" ? 200'000 : 2'000;
  std::mt19937 random(20'25);
  for (const std::string_view name : kModels) {
    const std::vector<std::byte> whole = read_file(std::string(name));
    for (int round = 0; round < rounds; ++round) {
      std::vector<std::byte> bytes = whole;
      for (unsigned left = 1 + random() % 8; left > 0; --left) {
        bytes[random() % bytes.size()] = static_cast<std::byte>(random() & 0xFFU);
      }
      read_damaged(bytes);
    }
  }
}

}  // namespace

int main() {
  test_signatures_are_read();
  test_signature_ports_are_what_the_whole_file_says();
  test_open_dimensions_are_read();
  test_quantization_per_channel_is_read();
  test_every_truncation_is_survived();
  test_every_damaged_byte_is_survived();
  test_random_damage_is_survived();
}
