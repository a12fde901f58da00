"""A made-up board for the simulator's own tests."""

BOARD = {
    "name": "parrot",
    "mic": {"i2s_id": 0, "sck": 5, "ws": 4, "sd": 6},
    "speaker": {"i2s_id": 1, "sck": 15, "ws": 16, "sd": 7},
    "button": {"pin": 0, "active_low": True, "pull_up": True},
    "volume_up": {"pin": 40, "active_low": True, "pull_up": True},
    "volume_down": None,
}
