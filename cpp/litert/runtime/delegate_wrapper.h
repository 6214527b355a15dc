// The one function of litert/c/internal/litert_delegate_wrapper.h that is used, declared by itself:
// that header brings those of TFLite, of which only a pointer is needed.
#pragma once

#include "litert/c/litert_common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TfLiteOpaqueDelegateStruct TfLiteOpaqueDelegate;

LiteRtStatus LiteRtWrapDelegate(TfLiteOpaqueDelegate* delegate,
                                void (*deleter)(TfLiteOpaqueDelegate*),
                                LiteRtDelegateWrapper* wrapper);

#ifdef __cplusplus
}
#endif
