# The C modules of the image, for USER_C_MODULES: ulab (https://github.com/v923z/micropython-ulab), whose folder is
# named by the environment variable ULAB_DIR, or lies here as `ulab`.
if(DEFINED ENV{ULAB_DIR})
    set(PIPIT_ULAB_DIR $ENV{ULAB_DIR})
else()
    set(PIPIT_ULAB_DIR ${CMAKE_CURRENT_LIST_DIR}/ulab)
endif()

if(NOT EXISTS ${PIPIT_ULAB_DIR}/code/micropython.cmake)
    message(FATAL_ERROR "ulab is not at ${PIPIT_ULAB_DIR}: clone it, and set ULAB_DIR to its absolute path")
endif()

include(${PIPIT_ULAB_DIR}/code/micropython.cmake)
