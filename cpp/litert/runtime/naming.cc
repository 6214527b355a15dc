#include "litert/runtime/naming.h"

#include <set>

namespace litert_native::runtime {

std::vector<std::string> unique_names(const std::vector<std::string_view>& names,
                                      std::string_view prefix) {
  std::set<std::string> taken(names.begin(), names.end());
  std::set<std::string> used;
  std::vector<std::string> unique;
  unique.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    std::string base(names[i]);
    if (base.empty()) {
      base = std::string(prefix) + "_" + std::to_string(i);
    }
    std::string name = base;
    const bool is_made = names[i].empty();
    for (int suffix = 1; used.contains(name) || ((name != base || is_made) && taken.contains(name));
         ++suffix) {
      name = base + "_" + std::to_string(suffix);
    }
    used.insert(name);
    unique.push_back(name);
  }
  return unique;
}

}  // namespace litert_native::runtime
