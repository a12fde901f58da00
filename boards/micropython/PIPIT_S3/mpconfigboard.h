#ifndef MICROPY_HW_BOARD_NAME
// The variants have names of their own.
#define MICROPY_HW_BOARD_NAME               "Pipit speaker"
#endif
#define MICROPY_HW_MCU_NAME                 "ESP32-S3"

// Boards with a USB-UART bridge talk on UART0, boards with the chip's own USB on that: both answer.
#define MICROPY_HW_ENABLE_UART_REPL         (1)
