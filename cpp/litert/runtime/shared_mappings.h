// The shared mappings that this process has of a file.
#pragma once

namespace litert_native::runtime {

// Puts a private copy of its bytes in place of each, at the same addresses and at once for every
// thread that reads there. Nobody may unmap any of them meanwhile. False where that cannot be done
// (no memory, no /proc); those that are replaced stay so.
[[nodiscard]] bool replace_shared_mappings(int descriptor);

}  // namespace litert_native::runtime
