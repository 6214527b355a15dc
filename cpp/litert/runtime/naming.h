// Names for inputs and outputs that the file leaves empty or repeats.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace litert_native::runtime {

// Empty names become `prefix` and the position ("input_0"); a repeated one gets "_1", "_2", ...
// The same rule as litert.naming.unique_names.
[[nodiscard]] std::vector<std::string> unique_names(const std::vector<std::string_view>& names,
                                                    std::string_view prefix);

}  // namespace litert_native::runtime
