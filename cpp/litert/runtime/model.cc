#include "litert/runtime/model.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "litert/runtime/data_flow_check.h"
#include "litert/runtime/element_type.h"
#include "litert/runtime/environment.h"
#include "litert/runtime/naming.h"
#include "litert/runtime/quantization_check.h"
#include "litert/runtime/status.h"
#include "litert/runtime/stderr_capture.h"

namespace litert_native::runtime {
namespace {

constexpr int kUnsupported = 5;
constexpr int kInvalidFlatbuffer = 501;
constexpr size_t kIdentifierOffset = 4;
constexpr std::string_view kIdentifier = "TFL3";
constexpr uint32_t kSchemaVersion = 3;
constexpr char kKeyWithoutSignatures[] = "main";

void check_identifier(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.size() < kIdentifierOffset ||
      text.substr(kIdentifierOffset, kIdentifier.size()) != kIdentifier) {
    throw StatusError(kInvalidFlatbuffer, "no .tflite model: the identifier TFL3 is missing");
  }
}

// Gives each name to the last slot that holds its tensor: of twin outputs the library fills only
// that one.
std::vector<NamedSlot> assign_names(
    const std::vector<Slot>& slots,
    const std::vector<std::pair<std::string_view, uint32_t>>& names) {
  std::vector<NamedSlot> assigned;
  std::set<std::string> seen;
  for (size_t i = 0; i < slots.size(); ++i) {
    const bool is_last =
        std::none_of(slots.begin() + static_cast<std::ptrdiff_t>(i) + 1, slots.end(),
                     [&](const Slot& later) { return later.tensor == slots[i].tensor; });
    for (const auto& [name, tensor] : names) {
      if (is_last && tensor == slots[i].tensor && seen.emplace(name).second) {
        assigned.push_back({std::string(name), i});
      }
    }
  }
  return assigned;
}

std::vector<NamedSlot> name_by_tensor(const std::vector<Slot>& slots, const FileSubgraph& subgraph,
                                      std::string_view prefix) {
  std::vector<std::string_view> tensor_names;
  for (const Slot& slot : slots) {
    tensor_names.push_back(subgraph.tensors[slot.tensor].name);
  }
  const std::vector<std::string> unique = unique_names(tensor_names, prefix);
  std::vector<NamedSlot> named;
  for (size_t i = 0; i < slots.size(); ++i) {
    named.push_back({unique[i], i});
  }
  return named;
}

// That of a signature; without signatures the first one.
const FileSubgraph& subgraph_of(const ModelFile& file, size_t signature) {
  return file.subgraphs[file.signatures.empty() ? 0 : file.signatures[signature].subgraph];
}

// Scales and zero points are told for affine quantization alone.
SlotQuantization quantization_of(const FileTensor& tensor) {
  if (tensor.scales.empty() || tensor.block_size != 0) {
    return {};
  }
  return {tensor.scales, tensor.zero_points, tensor.quantized_dimension};
}

std::string why_unsupported(const ModelFile& file, size_t index, const SignatureSpec& signature) {
  const FileSubgraph& subgraph = subgraph_of(file, index);
  bool is_dynamic = false;
  std::set<std::string_view> input_names;
  const auto check_slot = [&](const Slot& slot) -> std::string {
    const std::string name(subgraph.tensors[slot.tensor].name);
    if (bits_of(slot.element_type) == 0) {
      return std::string(name_of(slot.element_type)) + " tensor '" + name + "'";
    }
    if (std::find(slot.shape.begin(), slot.shape.end(), 0) != slot.shape.end()) {
      return "zero-size tensor '" + name + "'";
    }
    return {};
  };
  for (const Slot& slot : signature.inputs) {
    if (std::string reason = check_slot(slot); !reason.empty()) {
      return reason;
    }
    is_dynamic |=
        std::find(slot.signature.begin(), slot.signature.end(), -1) != slot.signature.end();
    const bool is_new = input_names.insert(subgraph.tensors[slot.tensor].name).second;
    if (!is_new && file.signatures.empty() && is_dynamic) {
      // The library resizes by name, and throws through its C functions over twins.
      return "dynamic inputs share the name '" + std::string(subgraph.tensors[slot.tensor].name) +
             "'";
    }
  }
  for (const Slot& slot : signature.outputs) {
    if (std::string reason = check_slot(slot); !reason.empty()) {
      return reason;
    }
  }
  if (std::any_of(signature.input_names.begin(), signature.input_names.end(),
                  [](const NamedSlot& named) { return named.name.empty(); }) ||
      std::any_of(signature.output_names.begin(), signature.output_names.end(),
                  [](const NamedSlot& named) { return named.name.empty(); })) {
    // The library hands out a null name then.
    return "signature '" + signature.key + "' has a tensor without a name";
  }
  if (signature.input_names.size() != signature.inputs.size()) {
    return "signature '" + signature.key + "' leaves inputs of its graph without a name";
  }
  return {};
}

}  // namespace

std::shared_ptr<const Model> Model::load(std::shared_ptr<const FileMapping> mapping,
                                         std::shared_ptr<const Environment> environment) {
  const std::span<const std::byte> bytes = mapping->bytes();
  check_identifier(bytes);
  const ForkGuard guard;
  const StderrCapture capture;
  LiteRtModel raw = nullptr;
  // From the buffer, never from the file: only this call verifies the flatbuffer, the others crash
  // on a damaged one (LiteRT issue 10080).
  const LiteRtStatus status = without_exceptions([&] {
    return library().create_model_from_buffer(environment->handle(), bytes.data(), bytes.size(),
                                              &raw);
  });
  ModelHandle handle(raw);
  if (status != kLiteRtStatusOk && status != kLiteRtStatusErrorUnsupported) {
    // Whatever else it says (InvalidArgument for a bad length), it is about the bytes.
    throw StatusError(kInvalidFlatbuffer, "damaged model: the library's verifier refuses it",
                      capture.text());
  }
  // The verifier has passed, which bounds what the reader below can meet.
  const ModelFile file = read_model_file(bytes);
  if (file.version != kSchemaVersion) {
    throw StatusError(kInvalidFlatbuffer,
                      "expected schema version 3, got " + std::to_string(file.version));
  }
  if (const std::string fault = find_fatal_quantization(file); !fault.empty()) {
    throw StatusError(kUnsupported, fault);
  }
  if (const std::string fault = find_broken_data_flow(file); !fault.empty()) {
    throw StatusError(kInvalidFlatbuffer, "damaged model: " + fault);
  }
  GraphFacts facts = check_graph(file);
  if (!facts.unsupported.empty()) {
    throw StatusError(kUnsupported, facts.unsupported, capture.text());
  }
  check(status, "load the model", capture.text());
  return std::make_shared<const Model>(std::move(mapping), std::move(environment),
                                       std::move(handle), file, std::move(facts));
}

Model::Model(std::shared_ptr<const FileMapping> mapping,
             std::shared_ptr<const Environment> environment, ModelHandle handle,
             const ModelFile& file, GraphFacts facts)
    : mapping_(std::move(mapping)),
      environment_(std::move(environment)),
      handle_(std::move(handle)),
      facts_(std::move(facts)) {
  if (file.subgraphs.empty()) {
    throw StatusError(kInvalidFlatbuffer, "damaged model: it has no subgraph");
  }
  LiteRtParamIndex num_signatures = 0;
  check(library().get_num_model_signatures(handle_.get(), &num_signatures), "count signatures");
  for (size_t i = 0; i < num_signatures; ++i) {
    signatures_.push_back(read_signature(file, i));
    if (const std::string reason = why_unsupported(file, i, signatures_.back()); !reason.empty()) {
      throw StatusError(kUnsupported, reason);
    }
  }
}

SignatureSpec Model::read_signature(const ModelFile& file, size_t index) const {
  const Library& api = library();
  LiteRtSignature signature = nullptr;
  check(api.get_model_signature(handle_.get(), index, &signature), "read a signature");
  SignatureSpec spec;
  const bool has_signatures = !file.signatures.empty();
  if (has_signatures) {
    if (index >= file.signatures.size()) {
      throw StatusError(kUnsupported, "the library tells more signatures than the file has");
    }
    spec.key = std::string(file.signatures[index].key);
  } else {
    spec.key = kKeyWithoutSignatures;
  }
  const FileSubgraph& subgraph = subgraph_of(file, index);

  const auto read_slots = [&](auto count, auto tensor_by_index) {
    LiteRtParamIndex num_slots = 0;
    check(count(signature, &num_slots), "count a signature's tensors");
    std::vector<Slot> slots;
    for (size_t i = 0; i < num_slots; ++i) {
      LiteRtTensor tensor = nullptr;
      uint32_t tensor_index = 0;
      check(tensor_by_index(signature, i, &tensor), "read a signature's tensor");
      check(api.get_tensor_index(tensor, &tensor_index), "read a tensor's index");
      if (tensor_index >= subgraph.tensors.size()) {
        throw StatusError(kUnsupported, "the library numbers the tensors in another way");
      }
      const FileTensor& file_tensor = subgraph.tensors[tensor_index];
      slots.push_back({tensor_index, file_tensor.element_type, file_tensor.shape,
                       file_tensor.signature, quantization_of(file_tensor)});
    }
    return slots;
  };
  spec.inputs = read_slots(api.get_num_signature_inputs, api.get_signature_input_tensor_by_index);
  spec.outputs =
      read_slots(api.get_num_signature_outputs, api.get_signature_output_tensor_by_index);
  for (Slot& output : spec.outputs) {
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
      if (spec.inputs[i].tensor == output.tensor) {
        output.input_alias = static_cast<int>(i);
      }
    }
  }
  if (has_signatures) {
    spec.input_names = assign_names(spec.inputs, file.signatures[index].inputs);
    spec.output_names = assign_names(spec.outputs, file.signatures[index].outputs);
  } else {
    spec.input_names = name_by_tensor(spec.inputs, subgraph, "input");
    spec.output_names = name_by_tensor(spec.outputs, subgraph, "output");
  }
  return spec;
}

}  // namespace litert_native::runtime
