"""LilyGO T-Circle-S3: ESP32-S3R8, an MSM261 microphone and a MAX98357A amplifier on buses of their own.

Its LEDs are of a kind (APA102) that the speaker does not drive, its knob turns nothing yet.
"""

BOARD = {
    "name": "lilygo_t_circle_s3",
    # Read from the maker's files, not tried on hardware by us. The schematic ties the microphone's L/R to ground: left.
    "source": "Xinyuan-LilyGO/T-Circle-S3 libraries/Mylibrary/pin_config.h, project/T-Circle-S3_V1.0.pdf at 840a3a53",
    "psram": "octal",
    "is_duplex": False,
    "gate_tail_ms": 250,
    # gain 1024/256 = 12 dB: a bottom-port microphone at arm's length is quiet in the top 16 of its bits.
    "mic": {
        "i2s_id": 0, "sck": 7, "ws": 9, "sd": 8, "rate_hz": 16_000, "bits": 16, "ibuf_bytes": 16_384, "gain_q8": 1024,
    },
    "speaker": {"i2s_id": 1, "sck": 5, "ws": 4, "sd": 6, "dma_ms": 96},
    "amp_enable": 45,
    # SD_MODE of the amplifier hangs on GPIO 45, pulled down as the chip wants it at its start; raised only afterwards.
    "strapping_ok": (45,),
    "button": {"pin": 0, "active_low": True, "pull_up": True},
    "volume_up": None,
    "volume_down": None,
    "led": None,
}  # fmt: skip
