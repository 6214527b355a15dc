// Keeps those who read a shared mapping from those who write into its file.
//
// Whoever truncates a mapped file ends its readers with SIGBUS, and whoever overwrites it changes
// what they read. A lease (see F_SETLEASE in fcntl(2)) makes the kernel hold such a writer up at
// its open() or truncate() and tell us: a thread of ours then puts a copy of the pages in place of
// the mapping, at the same addresses, and lets the writer go on. A run notices nothing. Renaming
// over the file, or removing it, disturbs no reader and breaks no lease.
#pragma once

#include <memory>
#include <shared_mutex>

#include "litert/runtime/descriptor.h"

namespace litert_native::runtime {

// Over all shared mappings that this process has of one file, for as long as it lives. Thread-safe.
//
// Not against writers on another machine, nor on a file system without leases (NFS, some that are
// not the kernel's own); nor past lease-break-time (45 s), where there is no memory for the copy. A
// forked child has a guard of its own, and with it a thread.
class MappingGuard {
 public:
  // Of the file behind `descriptor`, which is open for reading; it is not kept. Null where somebody
  // has the file open for writing: it must not be used.
  static std::unique_ptr<MappingGuard> take(int descriptor);

  // To be held while such files are mapped and unmapped, so that no copy is put where a mapping
  // just goes. A writer waits that long: hold it no longer than a file needs that is there already.
  [[nodiscard]] static std::shared_lock<std::shared_mutex> hold_mappings();

  ~MappingGuard();
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  // False where the file system has no leases, and after a writer had to be let through.
  [[nodiscard]] bool is_active() const;

 private:
  struct Registry;
  friend struct Registry;

  explicit MappingGuard(Descriptor leased) : leased_(std::move(leased)) {}
  static Registry& registry();

  Descriptor leased_;  // guarded by the registry's mutex; none where there is no lease (any more)
};

}  // namespace litert_native::runtime
