# Address and undefined-behaviour sanitizers, for the C++ tests.
add_library(litert_native_sanitizers INTERFACE)
if(LITERT_NATIVE_SANITIZE)
  target_compile_options(litert_native_sanitizers INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(litert_native_sanitizers INTERFACE -fsanitize=address,undefined)
endif()
