// What the linked-in C++ library wants of glibc 2.32, so that wheels load with older ones too.

namespace litert_native::bindings {

extern "C" {
// Whether the process has a single thread, by which std::shared_ptr saves atomic operations: "no"
// is always right. Hidden, so that nothing else sees it (see sys/single_threaded.h).
[[gnu::visibility("hidden")]] extern char __libc_single_threaded;
char __libc_single_threaded = 0;
}

}  // namespace litert_native::bindings
