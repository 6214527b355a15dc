# What packaging/cross_compiler armv7l unpacked.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
cmake_path(SET compilers NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../../build/compilers)
set(CMAKE_CXX_COMPILER ${compilers}/armv7l/usr/bin/arm-linux-gnueabihf-g++-12)
set(CMAKE_SYSROOT ${compilers}/armv7l)
