# MicroPython board definition: a Pipit speaker on any ESP32-S3 without PSRAM, or with quad PSRAM.
# The variant SPIRAM_OCT is for modules with octal PSRAM (R8, as in N16R8).
# For MicroPython 1.26 and later, whose releases keep what all ESP32-S3 have in different files.
set(IDF_TARGET esp32s3)

set(SDKCONFIG_DEFAULTS boards/sdkconfig.base boards/sdkconfig.ble)
foreach(name usb spiram_sx spiram_quad)  # usb: 1.26; spiram_sx: until 1.28; spiram_quad: since 1.29
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/boards/sdkconfig.${name})
        list(APPEND SDKCONFIG_DEFAULTS boards/sdkconfig.${name})
    endif()
endforeach()

# sdkconfig files know no variables, and the partition table lies beside this file, outside of MicroPython's tree.
file(WRITE ${CMAKE_BINARY_DIR}/sdkconfig.pipit
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MICROPY_BOARD_DIR}/partitions.csv\"\n"
)

list(APPEND SDKCONFIG_DEFAULTS
    boards/sdkconfig.240mhz
    ${MICROPY_BOARD_DIR}/sdkconfig.board
    ${CMAKE_BINARY_DIR}/sdkconfig.pipit
)

set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
