# What packaging/cross_compiler x86_64 unpacked.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
cmake_path(SET compilers NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../../build/compilers)
set(CMAKE_CXX_COMPILER ${compilers}/x86_64/usr/bin/x86_64-linux-gnu-g++-12)
# The compiler would look into the C library that came with it first.
set(CMAKE_SYSROOT ${compilers}/x86_64-libc)
set(CMAKE_MODULE_LINKER_FLAGS_INIT "-L${CMAKE_SYSROOT}/usr/lib/x86_64-linux-gnu")
