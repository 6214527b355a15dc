# Wheels run on older systems than the one that builds them: with LITERT_NATIVE_PORTABLE the C++
# library is linked in, and nothing is asked of glibc that only later releases have. The same
# sources give the same bytes in any folder.
option(LITERT_NATIVE_PORTABLE "Link for systems older than this one" OFF)

if(LITERT_NATIVE_PORTABLE)
  add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
endif()

function(make_portable target)
  if(LITERT_NATIVE_PORTABLE)
    target_sources(${target} PRIVATE cpp/bindings/portable_libc.cc)
    # Read once for each Python and not for each file, which takes a third of its time.
    target_precompile_headers(${target} PRIVATE <pybind11/numpy.h> <pybind11/stl.h>)
    target_link_options(${target} PRIVATE
      -static-libstdc++ LINKER:--gc-sections LINKER:--exclude-libs,ALL LINKER:--strip-all)
  endif()
endfunction()
