"""The simulated board: the wiring of bread_compact_wifi in a room without an echo, so that speech may interrupt."""

BOARD = {
    "name": "sim",
    "source": "tools/sim",
    "psram": "octal",
    # What the simulated microphone hears is a file: the speaker is not in it.
    "is_duplex": True,
    "gate_tail_ms": 250,
    "mic": {
        "i2s_id": 0, "sck": 5, "ws": 4, "sd": 6, "rate_hz": 16_000, "bits": 16, "ibuf_bytes": 16_384, "gain_q8": 1024,
    },
    "speaker": {"i2s_id": 1, "sck": 15, "ws": 16, "sd": 7, "dma_ms": 96},
    "amp_enable": None,
    "button": {"pin": 0, "active_low": True, "pull_up": True},
    "volume_up": {"pin": 40, "active_low": True, "pull_up": True},
    "volume_down": {"pin": 39, "active_low": True, "pull_up": True},
    "led": {"kind": "neopixel", "pin": 48, "count": 1},
}  # fmt: skip
