// An external delegate for the tests: computes float32 ADDs of equal shapes, each by itself.
//
// Options: mode=fail (reports and returns nothing), mode=silent (returns nothing), mode=throw,
// mode=idle (takes no operator), offset=N (is added to every sum, to tell its results apart).
// Built from the plain TfLiteDelegate alone: the LiteRT library exports no helper of TFLite.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tflite/core/c/common.h"

namespace {

constexpr int kBuiltinAdd = 0;
constexpr int kBuiltinDelegate = 51;

struct Sample {
  TfLiteDelegate delegate{};
  float offset = 0;
};

// What one replaced node needs.
struct Kernel {
  float offset;
};

int num_alive = 0;

void* init(TfLiteContext*, const char* buffer, size_t) {
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  return new Kernel{static_cast<Sample*>(params->delegate->data_)->offset};
}

void release(TfLiteContext*, void* kernel) { delete static_cast<Kernel*>(kernel); }

TfLiteStatus prepare(TfLiteContext*, TfLiteNode*) { return kTfLiteOk; }

TfLiteStatus invoke(TfLiteContext* context, TfLiteNode* node) {
  const TfLiteTensor& left = context->tensors[node->inputs->data[0]];
  const TfLiteTensor& right = context->tensors[node->inputs->data[node->inputs->size - 1]];
  TfLiteTensor& sum = context->tensors[node->outputs->data[0]];
  const float offset = static_cast<Kernel*>(node->user_data)->offset;
  for (size_t i = 0; i < sum.bytes / sizeof(float); ++i) {
    sum.data.f[i] = left.data.f[i] + right.data.f[i] + offset;
  }
  return kTfLiteOk;
}

bool takes(const TfLiteContext* context, const TfLiteNode* node, const TfLiteRegistration* kind) {
  if (kind->builtin_code != kBuiltinAdd) {
    return false;
  }
  const TfLiteTensor& left = context->tensors[node->inputs->data[0]];
  const TfLiteTensor& right = context->tensors[node->inputs->data[1]];
  return left.type == kTfLiteFloat32 && right.type == kTfLiteFloat32 && left.bytes == right.bytes;
}

TfLiteStatus prepare_delegate(TfLiteContext* context, TfLiteDelegate* delegate) {
  TfLiteIntArray* plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) {
    return kTfLiteError;
  }
  std::vector<int> nodes(plan->data, plan->data + plan->size);
  TfLiteRegistration registration{};
  registration.init = init;
  registration.free = release;
  registration.prepare = prepare;
  registration.invoke = invoke;
  registration.builtin_code = kBuiltinDelegate;
  registration.custom_name = "SampleDelegate";
  registration.version = 1;
  for (const int index : nodes) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* kind = nullptr;
    if (context->GetNodeAndRegistration(context, index, &node, &kind) != kTfLiteOk ||
        !takes(context, node, kind)) {
      continue;
    }
    // An array of one: a count, and then the nodes.
    std::vector<int> one = {1, index};
    if (context->ReplaceNodeSubsetsWithDelegateKernels(
            context, registration, reinterpret_cast<TfLiteIntArray*>(one.data()), delegate) !=
        kTfLiteOk) {
      return kTfLiteError;
    }
  }
  return kTfLiteOk;
}

}  // namespace

extern "C" {

TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                              size_t count, void (*report_error)(const char*)) {
  auto sample = std::make_unique<Sample>();
  bool is_idle = false;
  for (size_t i = 0; i < count; ++i) {
    const std::string key = keys[i];
    const std::string value = values[i];
    if (key == "offset") {
      sample->offset = std::strtof(values[i], nullptr);
    } else if (key == "mode" && value == "silent") {
      return nullptr;
    } else if (key == "mode" && value == "throw") {
      throw std::runtime_error("no such chip");
    } else if (key == "mode" && value == "idle") {
      is_idle = true;
    } else {
      report_error(("unknown option " + key + "=" + value).c_str());
      return nullptr;
    }
  }
  sample->delegate.data_ = sample.get();
  sample->delegate.Prepare =
      is_idle ? [](TfLiteContext*, TfLiteDelegate*) { return kTfLiteOk; } : prepare_delegate;
  ++num_alive;
  return &sample.release()->delegate;
}

// A null pointer would crash here, as in many delegates.
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  --num_alive;
  delete static_cast<Sample*>(delegate->data_);
}

int sample_delegate_num_alive() { return num_alive; }
}
