"""The ElatoAI do-it-yourself wiring: an ESP32-S3 of any kind, a microphone and an amplifier on buses of their own.

Its three-colour LED on GPIO 8, 9 and 13 is of a kind that the speaker does not drive. GPIO 2 is a touch pad in the
source's default build and a button in its other one: this file wants the button, between GPIO 2 and ground.
"""

BOARD = {
    "name": "elatoai_diy",
    # Read from a published configuration, not tried on hardware by us.
    "source": "akdeb/ElatoAI firmware-arduino/src/Config.cpp, Audio.cpp and main.cpp at 7086b2bf",
    "psram": "none",
    "is_duplex": False,
    "gate_tail_ms": 250,
    # gain 1024/256 = 12 dB: the port keeps the top 16 of the microphone's bits.
    "mic": {
        "i2s_id": 0, "sck": 1, "ws": 4, "sd": 14, "rate_hz": 16_000, "bits": 16, "ibuf_bytes": 8192, "gain_q8": 1024,
    },
    "speaker": {"i2s_id": 1, "sck": 6, "ws": 5, "sd": 7, "dma_ms": 96},
    "amp_enable": 10,
    "button": {"pin": 2, "active_low": True, "pull_up": True},
    "volume_up": None,
    "volume_down": None,
    "led": None,
}  # fmt: skip
