"""One channel out of interleaved 16-bit stereo. It checks no bounds: the buffers must be long enough.

    right_into(src, n_frames, dst)   dst[i] = the second sample of frame i of src, both at even addresses
"""

try:
    from stereo_viper import right_into
except (ImportError, SyntaxError):  # CPython; a MicroPython without native code says SyntaxError

    def right_into(src, n_frames, dst):
        for i in range(n_frames):
            dst[2 * i] = src[4 * i + 2]
            dst[2 * i + 1] = src[4 * i + 3]
