#include "litert/runtime/cpu_features.h"

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

namespace {

using litert_native::runtime::lacking_arm64_features;
using litert_native::runtime::lacking_features;
using Names = std::vector<std::string_view>;

void test_cortex_a76_lacks_nothing() { CHECK(lacking_arm64_features(0x119ffb).empty()); }

void test_cortex_a53_lacks_what_came_after_armv8_0() {
  const Names expected = {"atomics", "fphp", "asimdhp", "asimdrdm", "lrcpc", "asimddp"};
  CHECK(lacking_arm64_features(0x8fb) == expected);
}

void test_each_needed_bit_is_named_once() {
  CHECK(lacking_arm64_features(0).size() == 9);
  CHECK(lacking_arm64_features(0x1097c8).empty());
  CHECK(lacking_arm64_features(~uint64_t{0x1097c8}) == lacking_arm64_features(0));
}

// The kernel's list of this CPU, where it has one.
void test_nothing_that_the_kernel_lists_is_lacking() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) {
      continue;
    }
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      for (const std::string_view name : lacking_features()) {
        CHECK(word != name);
      }
    }
    return;
  }
}

}  // namespace

int main() {
  test_cortex_a76_lacks_nothing();
  test_cortex_a53_lacks_what_came_after_armv8_0();
  test_each_needed_bit_is_named_once();
  test_nothing_that_the_kernel_lists_is_lacking();
}
