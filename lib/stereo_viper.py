"""lib/stereo.py in MicroPython's native code."""

import micropython


@micropython.viper
def right_into(src: ptr16, n_frames: int, dst: ptr16):
    i = 0
    while i < n_frames:
        dst[i] = src[2 * i + 1]
        i += 1
