# MicroPython board definition: a Pipit speaker on any ESP32-S3 without PSRAM, or with quad PSRAM.
# The variant SPIRAM_OCT is for modules with octal PSRAM (R8, as in N16R8).
include(boards/mpconfigboard_esp32s3_common.cmake)

# sdkconfig files know no variables, and the partition table lies beside this file, outside of MicroPython's tree.
file(WRITE ${CMAKE_BINARY_DIR}/sdkconfig.pipit
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MICROPY_BOARD_DIR}/partitions.csv\"\n"
)

list(APPEND SDKCONFIG_DEFAULTS
    boards/sdkconfig.240mhz
    boards/sdkconfig.flash_qio_80m
    ${MICROPY_BOARD_DIR}/sdkconfig.board
    ${CMAKE_BINARY_DIR}/sdkconfig.pipit
)

set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
