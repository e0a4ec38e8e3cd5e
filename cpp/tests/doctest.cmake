# Finds doctest: the system's package, else the header of a pinned release, else none with a reason.
#
# Offline, point to an unpacked release with -DFETCHCONTENT_SOURCE_DIR_DOCTEST=<folder>.
find_package(doctest QUIET)
if(doctest_FOUND)
  set(doctest_target doctest::doctest)
  return()
endif()

set(url https://github.com/doctest/doctest/archive/refs/tags/v2.4.11.tar.gz)
set(hash 632ed2c05a7f53fa961381497bf8069093f0d6628c5f26286161fbd32a560186)
set(archive ${CMAKE_CURRENT_BINARY_DIR}/doctest.tar.gz)
if(NOT FETCHCONTENT_SOURCE_DIR_DOCTEST)
  # FetchContent stops the configuration when it cannot download, so the download is tried first, where it may fail.
  set(got "")
  if(EXISTS ${archive})
    file(SHA256 ${archive} got)
  endif()
  if(NOT got STREQUAL hash)
    file(DOWNLOAD ${url} ${archive} INACTIVITY_TIMEOUT 10 TIMEOUT 60 STATUS status)
    file(SHA256 ${archive} got)
  endif()
  if(NOT got STREQUAL hash)
    list(JOIN status ": " status)
    set(doctest_missing "doctest is not installed (Debian: doctest-dev) and ${url} did not come (${status})")
    return()
  endif()
endif()

include(FetchContent)
# No SOURCE_SUBDIR of this name exists, so only the header is used and none of doctest's own build.
FetchContent_Declare(doctest URL ${archive} URL_HASH SHA256=${hash} SOURCE_SUBDIR none)
FetchContent_MakeAvailable(doctest)
add_library(fairlead_doctest INTERFACE)
target_include_directories(fairlead_doctest SYSTEM INTERFACE ${doctest_SOURCE_DIR})
set(doctest_target fairlead_doctest)
