// A custom operator's kernel in a shared object.
#pragma once

#include <span>
#include <string>

#include "litert/accelerate/shared_object.h"
#include "litert/runtime/custom_kernel.h"

namespace litert_native::accelerate {

// The shared object exports a variable of the type LiteRtCustomOpKernel (litert_custom_op_kernel.h)
// with all four functions set; they are called with a null user_data. A status other than Ok, and a
// C++ exception, end the run and come out of it.
class PluginKernel final : public runtime::CustomKernel {
 public:
  // Throws StatusError 502 where the object does not load or lacks the symbol, 1 where a function
  // is missing.
  PluginKernel(std::string name, const std::string& path, const std::string& symbol);

 protected:
  void init(std::span<const std::byte> options) override;
  void set_output_layouts(std::span<const LiteRtLayout> inputs,
                          std::span<LiteRtLayout> outputs) override;
  void run(std::span<const LiteRtTensorBuffer> inputs,
           std::span<LiteRtTensorBuffer> outputs) override;
  void destroy() override;

 private:
  template <typename Call>
  void checked(const char* what, Call call) const;

  SharedObject object_;
  LiteRtCustomOpKernel functions_;
};

}  // namespace litert_native::accelerate
