"""ESP32-S3-N16R8 on a breadboard with an INMP441 microphone and a MAX98357A amplifier."""

BOARD = {
    "name": "bread_compact_wifi",
    # Read from a published configuration, not tried on hardware by us.
    "source": "xiaozhi-esp32 main/boards/bread-compact-wifi/config.h at 48142026",
    "psram": "octal",
    # Nothing takes the echo of the speaker out of the microphone.
    "is_duplex": False,
    "gate_tail_ms": 250,
    # 8192 bytes are 64 ms of reading ahead. gain 4096/256 = 24 dB: what the source adds,
    # which keeps bits 27 to 12 of the microphone's 32 where the port keeps 31 to 16.
    "mic": {
        "i2s_id": 0, "sck": 5, "ws": 4, "sd": 6, "rate_hz": 16_000, "bits": 16, "ibuf_bytes": 16_384, "gain_q8": 4096,
    },
    "speaker": {"i2s_id": 1, "sck": 15, "ws": 16, "sd": 7, "dma_ms": 96},
    "amp_enable": None,
    "button": {"pin": 0, "active_low": True, "pull_up": True},
    "volume_up": {"pin": 40, "active_low": True, "pull_up": True},
    "volume_down": {"pin": 39, "active_low": True, "pull_up": True},
    "led": {"kind": "neopixel", "pin": 48, "count": 1},
}  # fmt: skip
