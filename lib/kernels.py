"""The per-byte loops of the sound path: one set of functions, three implementations with equal results to the bit.

    viper      MicroPython's native emitter (the device)
    host       CPython with binascii, tables and wide integers (simulations)
    portable   plain Python, runs anywhere and is what the other two are compared with

`IMPLEMENTATION` says which one was found. Contracts are in kernels_py. The functions check no bounds: sources and
destinations must be long enough, that is the caller's duty.
"""

try:
    from kernels_viper import (
        alaw_decode_into,
        alaw_encode_into,
        b64_decode_into,
        b64_encode_into,
        copy_into,
        decimate2_into,
        json_walk,
        scale_peak,
        ulaw_decode_into,
        ulaw_encode_into,
        xor_mask,
    )

    IMPLEMENTATION = "viper"
except (ImportError, SyntaxError):  # CPython; a MicroPython without native code says SyntaxError
    try:
        from kernels_host import (
            alaw_decode_into,
            alaw_encode_into,
            b64_decode_into,
            b64_encode_into,
            copy_into,
            decimate2_into,
            json_walk,
            scale_peak,
            ulaw_decode_into,
            ulaw_encode_into,
            xor_mask,
        )

        IMPLEMENTATION = "host"
    except ImportError:
        from kernels_py import (
            alaw_decode_into,
            alaw_encode_into,
            b64_decode_into,
            b64_encode_into,
            copy_into,
            decimate2_into,
            json_walk,
            scale_peak,
            ulaw_decode_into,
            ulaw_encode_into,
            xor_mask,
        )

        IMPLEMENTATION = "portable"

from kernels_tables import decimate2_state
