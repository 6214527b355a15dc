#include "litert/runtime/naming.h"

#include <map>
#include <set>

namespace litert_native::runtime {

std::vector<std::string> unique_names(const std::vector<std::string_view>& names,
                                      std::string_view prefix) {
  const std::set<std::string_view> taken(names.begin(), names.end());
  std::set<std::string> seen;
  std::map<std::string, int> last_suffix;
  std::vector<std::string> unique;
  unique.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string wanted =
        names[i].empty() ? std::string(prefix) + "_" + std::to_string(i) : std::string(names[i]);
    std::string candidate = wanted;
    while (seen.contains(candidate) || (candidate != names[i] && taken.contains(candidate))) {
      candidate = wanted + "_" + std::to_string(++last_suffix[wanted]);
    }
    seen.insert(candidate);
    unique.push_back(candidate);
  }
  return unique;
}

}  // namespace litert_native::runtime
