#include "litert/runtime/status.h"

namespace litert_native::runtime {

std::string_view status_name(int status) {
  switch (status) {
    case 0:
      return "Ok";
    case 1:
      return "ErrorInvalidArgument";
    case 2:
      return "ErrorMemoryAllocationFailure";
    case 3:
      return "ErrorRuntimeFailure";
    case 4:
      return "ErrorMissingInputTensor";
    case 5:
      return "ErrorUnsupported";
    case 6:
      return "ErrorNotFound";
    case 7:
      return "ErrorTimeoutExpired";
    case 8:
      return "ErrorWrongVersion";
    case 9:
      return "ErrorUnknown";
    case 10:
      return "ErrorAlreadyExists";
    case 100:
      return "Cancelled";
    case 500:
      return "ErrorFileIO";
    case 501:
      return "ErrorInvalidFlatbuffer";
    case 502:
      return "ErrorDynamicLoading";
    case 503:
      return "ErrorSerialization";
    case 504:
      return "ErrorCompilation";
    case 1000:
      return "ErrorIndexOOB";
    default:
      return "Error";
  }
}

void check(LiteRtStatus status, std::string_view what, std::string_view library_log) {
  if (status == kLiteRtStatusOk) {
    return;
  }
  const int number = static_cast<int>(status);
  std::string message(what);
  message += " failed: status " + std::to_string(number) + " (";
  message += status_name(number);
  message += ")";
  if (!library_log.empty()) {
    // The first lines say most; the whole text is in library_log.
    message += ": ";
    for (const char c : library_log.substr(0, 500)) {
      message += c == '\n' ? ' ' : c;
    }
  }
  throw StatusError(number, message, std::string(library_log));
}

}  // namespace litert_native::runtime
