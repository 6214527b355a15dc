// A library that imports a function, as import_patch_test finds it.
#include <unistd.h>

extern "C" __attribute__((visibility("default"))) int ask_parent() { return getppid(); }
