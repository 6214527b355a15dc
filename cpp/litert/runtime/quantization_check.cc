#include "litert/runtime/quantization_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace litert_native::runtime {
namespace {

// BuiltinOperator numbers (schema.fbs).
constexpr int32_t kAdd = 0, kSub = 41, kLess = 58, kGreater = 61, kGreaterEqual = 62,
                  kLessEqual = 63, kEqual = 71, kNotEqual = 72, kSquaredDifference = 99;

// QuantizeMultiplier rounds to 31 bits; what it rounds up to 1 fails the check for "below 1".
constexpr double kBelowOne = 1.0 - 0x1p-32;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool is_comparison(int32_t code) {
  return code == kEqual || code == kNotEqual || code == kLess || code == kLessEqual ||
         code == kGreater || code == kGreaterEqual;
}

bool has_eight_bits(const FileTensor& tensor) {
  return tensor.element_type == kLiteRtElementTypeInt8 ||
         tensor.element_type == kLiteRtElementTypeUInt8;
}

// As kernels see it: 0 unless there is just one for the tensor.
double scale_of(const FileTensor& tensor) {
  const bool has_one =
      !tensor.has_details && tensor.scales.size() == 1 && tensor.zero_points.size() == 1;
  return has_one ? static_cast<double>(tensor.scales[0]) : 0.0;
}

// Overflows where a float32 does.
double to_float32(double value) {
  return std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())
             ? std::copysign(kInfinity, value)
             : value;
}

// A comparison cannot rescale by just 1.
bool is_comparable(double scale) {
  return (scale > 0 && scale < kBelowOne) || (scale > 1 && scale < kInfinity);
}

// Whether the three rescaling factors of a sum or difference are in their range.
bool is_addable(int32_t code, bool is_int16, double first, double second, double output) {
  const double twice_max = to_float32(2 * std::max(first, second));
  const bool is_squared = code == kSquaredDifference;
  const int shift = is_squared ? 14 : (is_int16 ? 15 : 20);
  const double factor = is_squared ? twice_max * twice_max : twice_max;
  const double divisor = to_float32(std::ldexp(output, shift));
  if (!(twice_max > 0) || std::isinf(twice_max) || std::isnan(divisor)) {
    return false;
  }
  // Division by zero gives infinity there, which SUB happens to accept on some processors.
  const double rescaling = divisor != 0 ? factor / divisor : kInfinity;
  const double limit = code == kSub ? kInfinity : kBelowOne;
  const auto is_input_fine = [&](double scale) {
    return scale / twice_max > 0 && scale / twice_max < kBelowOne;
  };
  return is_input_fine(first) && is_input_fine(second) && rescaling > 0 && rescaling < limit &&
         rescaling != 1;
}

// Whether the kernel's checks of its rescaling factors fail.
bool aborts(const FileOperator& op, const std::vector<FileTensor>& tensors) {
  // Another number of tensors is refused by the kernels without harm.
  if (op.inputs.size() != 2 || op.outputs.size() != 1 ||
      std::min({op.inputs[0], op.inputs[1], op.outputs[0]}) < 0) {
    return false;
  }
  const FileTensor& first = tensors[static_cast<size_t>(op.inputs[0])];
  const FileTensor& second = tensors[static_cast<size_t>(op.inputs[1])];
  const FileTensor& output = tensors[static_cast<size_t>(op.outputs[0])];
  const bool is_int16 = first.element_type == kLiteRtElementTypeInt16;
  if (is_comparison(op.code)) {
    // Of int16 tensors only those with quantization, and only by these two.
    const bool is_wide =
        is_int16 && first.is_quantized && (op.code == kEqual || op.code == kNotEqual);
    return (has_eight_bits(first) || is_wide) &&
           !(is_comparable(scale_of(first)) && is_comparable(scale_of(second)));
  }
  const bool is_rescaled =
      (op.code == kAdd && (has_eight_bits(first) || (is_int16 && first.is_quantized))) ||
      (op.code == kSub && (has_eight_bits(first) || is_int16)) ||
      (op.code == kSquaredDifference && first.element_type == kLiteRtElementTypeInt8);
  return is_rescaled &&
         !is_addable(op.code, is_int16, scale_of(first), scale_of(second), scale_of(output));
}

// 0 where a dimension is negative or the product does not fit.
int64_t count_values(const std::vector<int32_t>& shape) {
  int64_t count = 1;
  for (const int32_t dimension : shape) {
    if (dimension < 0 ||
        (dimension > 0 && count > std::numeric_limits<int64_t>::max() / dimension)) {
      return 0;
    }
    count *= dimension;
  }
  return count;
}

// What is wrong with blockwise scales, which the library reads without a check.
std::string blockwise_fault(const FileTensor& tensor, const std::vector<FileTensor>& tensors) {
  const int64_t count = static_cast<int64_t>(tensors.size());
  if (tensor.block_scales < 0 || tensor.block_scales >= count || tensor.block_zero_points < -1 ||
      tensor.block_zero_points >= count) {
    return "the tensor of its blockwise scales or zero points does not exist";
  }
  if (tensor.block_size <= 0) {
    return "expected a positive block size, got " + std::to_string(tensor.block_size);
  }
  const FileTensor& scales = tensors[static_cast<size_t>(tensor.block_scales)];
  const int64_t num_scales = count_values(scales.shape);
  const int64_t num_values = count_values(tensor.shape);
  if (!scales.is_constant || num_scales <= 0) {
    return "its blockwise scales are no constant";
  }
  if (num_values % tensor.block_size != 0 || num_values / tensor.block_size != num_scales) {
    return "expected " + std::to_string(num_values) + " values in " + std::to_string(num_scales) +
           " blocks, got a block size of " + std::to_string(tensor.block_size);
  }
  return {};
}

}  // namespace

std::string find_fatal_quantization(const ModelFile& file) {
  for (size_t number = 0; number < file.subgraphs.size(); ++number) {
    const FileSubgraph& subgraph = file.subgraphs[number];
    for (const FileTensor& tensor : subgraph.tensors) {
      const std::string fault =
          tensor.is_blockwise ? blockwise_fault(tensor, subgraph.tensors) : std::string();
      if (!fault.empty()) {
        return "tensor '" + std::string(tensor.name) + "' in subgraph " + std::to_string(number) +
               ": " + fault;
      }
    }
    for (size_t place = 0; place < subgraph.operators.size(); ++place) {
      if (aborts(subgraph.operators[place], subgraph.tensors)) {
        return "operator " + std::to_string(subgraph.operators[place].code) + " (number " +
               std::to_string(place) + " of subgraph " + std::to_string(number) +
               "): the scales of its quantized tensors are missing or out of range";
      }
    }
  }
  return {};
}

}  // namespace litert_native::runtime
