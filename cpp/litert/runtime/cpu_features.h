// What a LiteRT library needs of the CPU beyond the baseline of its architecture.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace litert_native::runtime {

// What litert-lm-api's liblitert-lm.so is compiled for and a CPU lacks, by the names of
// /proc/cpuinfo. That library checks for them when it is loaded, and ends the process where one is
// missing.

// `hwcap` is the word AT_HWCAP of the auxiliary vector on 64-bit ARM.
[[nodiscard]] std::vector<std::string_view> lacking_arm64_features(uint64_t hwcap);

// Of the CPU that this runs on; empty where the library's needs are not known.
[[nodiscard]] std::vector<std::string_view> lacking_features();

}  // namespace litert_native::runtime
