"""Errors that the session itself finds: an effect of the table and what it tells a person. Loaded when there is one."""

from .. import errors

FAULTS = {
    "time_out_link": ("no connection in time: check the Wi-Fi signal and cloud_url", errors.TIMEOUT),
    "time_out_press": (
        "the link did not come up while you spoke: wait for the idle light, then ask again", errors.TIMEOUT,
    ),
    "time_out_answer": ("the cloud did not answer in time: ask again", errors.TIMEOUT),
    "time_out_audio": ("the answer stopped half-way: ask again", errors.TIMEOUT),
    "too_slow": ("the link is slower than speech: choose uplink_codec g711a or a better Wi-Fi place", errors.SLOW),
    "mic_silent": ("the microphone delivers nothing: check its wiring and the board setting", errors.AUDIO),
    "hear_nothing": ("no words were heard: speak closer to the microphone", errors.TURN),
}  # fmt: skip


def error(name):
    text, kind = FAULTS[name]
    return errors.PipitError(text, kind)
