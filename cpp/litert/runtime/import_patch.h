// Replaces one function that a loaded library imports, for that library alone.
#pragma once

namespace litert_native::runtime {

// Makes every later call of `symbol` from the library behind `handle` (of dlopen) go to
// `replacement`, by writing the library's own import table (its global offset table); other
// libraries and the program keep theirs. Returns whether an entry was found and written: not where
// the loader has made the table read-only, and only on 64-bit ELF with glibc.
bool replace_import(void* handle, const char* symbol, void* replacement);

}  // namespace litert_native::runtime
