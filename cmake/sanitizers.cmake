# Sanitizers of the C++ tests: LITERT_NATIVE_SANITIZE is what -fsanitize= takes, or empty.
add_library(litert_native_sanitizers INTERFACE)
if(LITERT_NATIVE_SANITIZE)
  target_compile_options(litert_native_sanitizers INTERFACE
    -fsanitize=${LITERT_NATIVE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(litert_native_sanitizers INTERFACE -fsanitize=${LITERT_NATIVE_SANITIZE})
endif()
