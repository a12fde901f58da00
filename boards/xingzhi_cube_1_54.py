"""Xingzhi Cube 1.54" (Wi-Fi): ESP32-S3 with octal PSRAM, an I2S microphone and an I2S amplifier of their own."""

BOARD = {
    "name": "xingzhi_cube_1_54",
    # Read from a published configuration, not tried on hardware by us.
    "source": "xiaozhi-esp32 main/boards/nologo/xingzhi-cube-1.54tft-wifi/config.h and .cc at 48142026",
    "psram": "octal",
    "is_duplex": False,
    "gate_tail_ms": 250,
    # gain 4096/256 = 24 dB: the source keeps bits 12 to 27 of the microphone's 32, the port keeps the top 16.
    "mic": {
        "i2s_id": 0, "sck": 5, "ws": 4, "sd": 6, "rate_hz": 16_000, "bits": 16, "ibuf_bytes": 16_384, "gain_q8": 4096,
    },
    "speaker": {"i2s_id": 1, "sck": 15, "ws": 16, "sd": 7, "dma_ms": 96},
    "amp_enable": None,
    # The source raises it at the start and lowers it to switch the cube off.
    "hold_high": (21,),
    "button": {"pin": 0, "active_low": True, "pull_up": True},
    "volume_up": {"pin": 40, "active_low": True, "pull_up": True},
    "volume_down": {"pin": 39, "active_low": True, "pull_up": True},
    "led": None,
}  # fmt: skip
