// The table of tests/test_naming.py: both sides of the project name tensors alike.
#include "litert/runtime/naming.h"

#include <string>
#include <string_view>
#include <vector>

#include "check.h"

int main() {
  using Names = std::vector<std::string>;
  struct Case {
    std::vector<std::string_view> names;
    Names expected;
  };
  const std::vector<Case> cases = {
      {{}, {}},
      {{"x", "y"}, {"x", "y"}},
      {{"", ""}, {"input_0", "input_1"}},
      {{"x", "x"}, {"x", "x_1"}},
      {{"a", "a", "a"}, {"a", "a_1", "a_2"}},
      {{"x", "x", "x_1"}, {"x", "x_2", "x_1"}},
      {{"", "input_0"}, {"input_0_1", "input_0"}},
      {{"x", "", "x"}, {"x", "input_1", "x_1"}},
  };
  for (const Case& each : cases) {
    CHECK(litert_native::runtime::unique_names(each.names, "input") == each.expected);
  }
  // A thousand twins take no noticeable time.
  const Names many =
      litert_native::runtime::unique_names(std::vector<std::string_view>(1000, "x"), "input");
  CHECK(many.back() == "x_999");
}
