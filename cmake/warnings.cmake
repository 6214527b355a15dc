# Warnings of our own code, all of them errors.
add_library(litert_native_warnings INTERFACE)
target_compile_options(litert_native_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Werror)
