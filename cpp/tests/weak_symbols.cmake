# cmake -D NM=nm -D OBJECTS=a.o|b.o -P weak_symbols.cmake: fails where an object of a wider instruction set defines a
# weak symbol.
string(REPLACE "|" ";" OBJECTS "${OBJECTS}")
set(looked_at 0)
foreach(object IN LISTS OBJECTS)
  if(NOT object MATCHES "_(avx[0-9]+|amx)\\.cpp")
    continue()
  endif()
  execute_process(COMMAND ${NM} --defined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
  # Coverage and sanitizer runtimes mark their own tables weak.
  list(FILTER weak EXCLUDE REGEX "__asan_|__ubsan_|__tsan_|DW\\.ref\\.__gxx_personality")
  if(weak)
    list(JOIN weak "\n" weak)
    message(FATAL_ERROR "${object} defines weak symbols, which may replace those of the baseline:\n${weak}")
  endif()
  math(EXPR looked_at "${looked_at} + 1")
endforeach()
message(STATUS "${looked_at} objects of wider instruction sets define no weak symbol")
