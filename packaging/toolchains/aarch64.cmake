# What packaging/cross_compiler aarch64 unpacked.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
cmake_path(SET compilers NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../../build/compilers)
set(CMAKE_CXX_COMPILER ${compilers}/aarch64/usr/bin/aarch64-linux-gnu-g++-12)
set(CMAKE_SYSROOT ${compilers}/aarch64)
