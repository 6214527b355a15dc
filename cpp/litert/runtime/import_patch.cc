#include "litert/runtime/import_patch.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#if defined(__GLIBC__) && defined(__LP64__)
#include <dlfcn.h>
#include <link.h>
#endif

namespace litert_native::runtime {

#if defined(__GLIBC__) && defined(__LP64__)

namespace {

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT, kGlobalData = R_X86_64_GLOB_DAT;
#elif defined(__aarch64__)
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT, kGlobalData = R_AARCH64_GLOB_DAT;
#else
constexpr uint32_t kJumpSlot = UINT32_MAX, kGlobalData = UINT32_MAX;
#endif

// The parts of a dynamic section that say what is imported (System V ABI, chapter 5).
struct Imports {
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  std::span<const ElfW(Rela)> calls;
  std::span<const ElfW(Rela)> data;
};

Imports read_imports(const link_map& library) {
  Imports imports;
  const ElfW(Rela)* calls = nullptr;
  const ElfW(Rela)* data = nullptr;
  size_t calls_size = 0;
  size_t data_size = 0;
  for (const ElfW(Dyn)* entry = library.l_ld; entry->d_tag != DT_NULL; ++entry) {
    const uintptr_t address = entry->d_un.d_ptr;  // glibc has relocated it
    switch (entry->d_tag) {
      case DT_SYMTAB:
        imports.symbols = reinterpret_cast<const ElfW(Sym)*>(address);
        break;
      case DT_STRTAB:
        imports.names = reinterpret_cast<const char*>(address);
        break;
      case DT_JMPREL:
        calls = reinterpret_cast<const ElfW(Rela)*>(address);
        break;
      case DT_PLTRELSZ:
        calls_size = entry->d_un.d_val;
        break;
      case DT_RELA:
        data = reinterpret_cast<const ElfW(Rela)*>(address);
        break;
      case DT_RELASZ:
        data_size = entry->d_un.d_val;
        break;
      default:
        break;
    }
  }
  if (calls != nullptr) {
    imports.calls = {calls, calls_size / sizeof(ElfW(Rela))};
  }
  if (data != nullptr) {
    imports.data = {data, data_size / sizeof(ElfW(Rela))};
  }
  return imports;
}

struct ReadOnlyQuery {
  uintptr_t address;
  bool is_read_only;
};

// Whether the loader has made the address read-only after relocation (PT_GNU_RELRO).
int find_read_only(dl_phdr_info* info, size_t /*size*/, void* data) {
  ReadOnlyQuery* const query = static_cast<ReadOnlyQuery*>(data);
  for (size_t i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr) & header = info->dlpi_phdr[i];
    const uintptr_t start = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_GNU_RELRO && query->address >= start &&
        query->address < start + header.p_memsz) {
      query->is_read_only = true;
      return 1;
    }
  }
  return 0;
}

}  // namespace

bool replace_import(void* handle, const char* symbol, void* replacement) {
  link_map* library = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &library) != 0 || library == nullptr) {
    return false;
  }
  const Imports imports = read_imports(*library);
  if (imports.symbols == nullptr || imports.names == nullptr) {
    return false;
  }
  bool is_replaced = false;
  for (const std::span<const ElfW(Rela)> relocations : {imports.calls, imports.data}) {
    for (const ElfW(Rela) & relocation : relocations) {
      const uint32_t type = static_cast<uint32_t>(ELF64_R_TYPE(relocation.r_info));
      const ElfW(Sym) & imported = imports.symbols[ELF64_R_SYM(relocation.r_info)];
      if ((type != kJumpSlot && type != kGlobalData) ||
          std::strcmp(imports.names + imported.st_name, symbol) != 0) {
        continue;
      }
      void** const entry = reinterpret_cast<void**>(library->l_addr + relocation.r_offset);
      ReadOnlyQuery query{reinterpret_cast<uintptr_t>(entry), false};
      dl_iterate_phdr(find_read_only, &query);
      // The entry holds the function, or where the library was opened lazily, the way to find it.
      if (!query.is_read_only) {
        __atomic_store_n(entry, replacement, __ATOMIC_RELEASE);
        is_replaced = true;
      }
    }
  }
  return is_replaced;
}

#else

bool replace_import(void* /*handle*/, const char* /*symbol*/, void* /*replacement*/) {
  return false;
}

#endif

}  // namespace litert_native::runtime
