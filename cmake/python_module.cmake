# add_python_module(NAME SOURCE...): an extension module, for the Python that builds it or another.
#
# For another one, of another version or another CPU, its headers and the suffix of its modules are
# given, as there is no interpreter to ask.
set(LITERT_NATIVE_PYTHON_INCLUDE "" CACHE PATH "Headers of the Python to build for, if another")
set(LITERT_NATIVE_PYTHON_SUFFIX "" CACHE STRING "Suffix of its modules: .cpython-...-linux-gnu.so")

if(LITERT_NATIVE_PYTHON_INCLUDE)
  set(PYBIND11_NOPYTHON ON)
else()
  find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
endif()
find_package(pybind11 CONFIG REQUIRED)

function(add_python_module name)
  if(NOT LITERT_NATIVE_PYTHON_INCLUDE)
    pybind11_add_module(${name} MODULE ${ARGN})
    return()
  endif()
  add_library(${name} MODULE ${ARGN})
  target_include_directories(${name} SYSTEM PRIVATE ${LITERT_NATIVE_PYTHON_INCLUDE})
  target_link_libraries(${name} PRIVATE pybind11::headers)
  set_target_properties(${name} PROPERTIES
    PREFIX "" SUFFIX "${LITERT_NATIVE_PYTHON_SUFFIX}"
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    INTERPROCEDURAL_OPTIMIZATION ON)
endfunction()
