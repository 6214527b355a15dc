// The library's C ABI as this project relies on it, held against the vendored headers. A renewed
// header that moves anything here fails to compile.
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "litert/c/litert_any.h"
#include "litert/c/litert_common.h"
#include "litert/c/litert_environment_options.h"
#include "litert/c/litert_layout.h"
#include "litert/c/litert_model_types.h"
#include "litert/c/litert_tensor_buffer_types.h"
#include "litert/runtime/tensor_memory.h"

namespace {

static_assert(std::is_same_v<LiteRtParamIndex, size_t>);
static_assert(LITERT_TENSOR_MAX_RANK == 8);
static_assert(litert_native::runtime::kHostMemoryAlignment == LITERT_HOST_MEMORY_BUFFER_ALIGNMENT);

// Sizes of enums, which cross the border inside structs.
static_assert(sizeof(LiteRtStatus) == 4);
static_assert(sizeof(LiteRtElementType) == 4);
static_assert(sizeof(LiteRtAnyType) == 4);

static_assert(sizeof(LiteRtLayout) == 68);
static_assert(alignof(LiteRtLayout) == 4);
static_assert(offsetof(LiteRtLayout, dimensions) == 4);
static_assert(offsetof(LiteRtLayout, strides) == 36);
static_assert(sizeof(LiteRtRankedTensorType) == 72);
static_assert(offsetof(LiteRtRankedTensorType, element_type) == 0);
static_assert(offsetof(LiteRtRankedTensorType, layout) == 4);

static_assert(sizeof(LiteRtAny) == 16);
static_assert(offsetof(LiteRtAny, type) == 0);
static_assert(offsetof(LiteRtAny, int_value) == 8);
static_assert(sizeof(LiteRtEnvOption) == 24);
static_assert(offsetof(LiteRtEnvOption, tag) == 0);
static_assert(offsetof(LiteRtEnvOption, value) == 8);

// Numbers that the bindings translate into exception classes.
static_assert(kLiteRtStatusOk == 0);
static_assert(kLiteRtStatusErrorInvalidArgument == 1);
static_assert(kLiteRtStatusErrorMemoryAllocationFailure == 2);
static_assert(kLiteRtStatusErrorRuntimeFailure == 3);
static_assert(kLiteRtStatusErrorMissingInputTensor == 4);
static_assert(kLiteRtStatusErrorUnsupported == 5);
static_assert(kLiteRtStatusErrorNotFound == 6);
static_assert(kLiteRtStatusErrorTimeoutExpired == 7);
static_assert(kLiteRtStatusErrorWrongVersion == 8);
static_assert(kLiteRtStatusCancelled == 100);
static_assert(kLiteRtStatusErrorFileIO == 500);
static_assert(kLiteRtStatusErrorInvalidFlatbuffer == 501);
static_assert(kLiteRtStatusErrorDynamicLoading == 502);
static_assert(kLiteRtStatusErrorSerialization == 503);
static_assert(kLiteRtStatusErrorCompilation == 504);
static_assert(kLiteRtStatusErrorUnsupportedRuntimeVersion == 4000);
static_assert(kLiteRtStatusErrorUnsupportedCompilerVersion == 4001);
static_assert(kLiteRtStatusErrorIncompatibleByteCodeVersion == 4002);

static_assert(kLiteRtHwAcceleratorCpu == 1);
static_assert(kLiteRtAnyTypeInt == 2);
static_assert(kLiteRtEnvOptionTagAutoRegisterAccelerators == 24);
static_assert(kLiteRtEnvOptionTagMinLoggerSeverity == 25);

// Numbers that litert/element_types.py maps to dtypes.
static_assert(kLiteRtElementTypeNone == 0);
static_assert(kLiteRtElementTypeFloat32 == 1);
static_assert(kLiteRtElementTypeInt32 == 2);
static_assert(kLiteRtElementTypeUInt8 == 3);
static_assert(kLiteRtElementTypeInt64 == 4);
static_assert(kLiteRtElementTypeTfString == 5);
static_assert(kLiteRtElementTypeBool == 6);
static_assert(kLiteRtElementTypeInt16 == 7);
static_assert(kLiteRtElementTypeComplex64 == 8);
static_assert(kLiteRtElementTypeInt8 == 9);
static_assert(kLiteRtElementTypeFloat16 == 10);
static_assert(kLiteRtElementTypeFloat64 == 11);
static_assert(kLiteRtElementTypeComplex128 == 12);
static_assert(kLiteRtElementTypeUInt64 == 13);
static_assert(kLiteRtElementTypeTfResource == 14);
static_assert(kLiteRtElementTypeTfVariant == 15);
static_assert(kLiteRtElementTypeUInt32 == 16);
static_assert(kLiteRtElementTypeUInt16 == 17);
static_assert(kLiteRtElementTypeInt4 == 18);
static_assert(kLiteRtElementTypeBFloat16 == 19);
static_assert(kLiteRtElementTypeInt2 == 20);
static_assert(kLiteRtElementTypeUInt4 == 21);
static_assert(kLiteRtElementTypeFloat8E4M3FN == 22);
static_assert(kLiteRtElementTypeFloat8E5M2 == 23);

}  // namespace

int main() { return 0; }
