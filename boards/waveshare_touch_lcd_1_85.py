"""Waveshare ESP32-S3-Touch-LCD-1.85, and the first audio variant of the 1.85C: a microphone and a DAC on own buses.

The 1.85B and the second variant of the 1.85C have codec chips on one bus: this file does not fit them.
"""

BOARD = {
    "name": "waveshare_touch_lcd_1_85",
    # Read from a published configuration, not tried on hardware by us.
    "source": "xiaozhi-esp32 main/boards/waveshare/esp32-s3-touch-lcd-1.85/config.h and .cc at 48142026",
    "psram": "octal",
    "is_duplex": False,
    "gate_tail_ms": 250,
    # gain 4096/256 = 24 dB: the source keeps bits 12 to 27 of the microphone's 32, the port keeps the top 16.
    "mic": {
        "i2s_id": 0, "sck": 15, "ws": 2, "sd": 39, "slot": "right",
        "rate_hz": 16_000, "bits": 16, "ibuf_bytes": 16_384, "gain_q8": 4096,
    },
    "speaker": {"i2s_id": 1, "sck": 48, "ws": 38, "sd": 47, "dma_ms": 96},
    "amp_enable": None,
    # PWR_Control_PIN: keeps the board on when it runs on its battery.
    "hold_high": (7,),
    "button": {"pin": 0, "active_low": True, "pull_up": True},
    "volume_up": None,
    "volume_down": None,
    "led": None,
}  # fmt: skip
