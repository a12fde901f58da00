list(APPEND SDKCONFIG_DEFAULTS
    boards/sdkconfig.spiram_oct
)

list(APPEND MICROPY_DEF_BOARD
    MICROPY_HW_BOARD_NAME="Pipit speaker with Octal-SPIRAM"
)
