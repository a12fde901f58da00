"""The per-byte loops of the sound path: one set of functions, three implementations with equal results to the bit.

    viper      MicroPython's native emitter (the device)
    host       CPython with binascii, tables and wide integers (simulations)
    portable   plain Python, runs anywhere and is what the other two are compared with

`IMPLEMENTATION` says which one was found. Contracts are in kernels_py. The functions check no bounds: sources and
destinations must be long enough, that is the caller's duty.
"""

try:
    from kernels_json_viper import json_walk
    from kernels_viper import (
        alaw_encode_into,
        b64_decode_into,
        b64_message_into,
        copy_into,
        decimate2_into,
        expand_into,
        scale_into,
        scale_peak,
        ulaw_encode_into,
        xor_mask,
    )

    IMPLEMENTATION = "viper"
except (ImportError, SyntaxError):  # CPython; a MicroPython without native code says SyntaxError
    try:
        from kernels_host import (
            alaw_encode_into,
            b64_decode_into,
            b64_message_into,
            copy_into,
            decimate2_into,
            expand_into,
            json_walk,
            scale_into,
            scale_peak,
            ulaw_encode_into,
            xor_mask,
        )

        IMPLEMENTATION = "host"
    except ImportError:
        from kernels_py import (
            alaw_encode_into,
            b64_decode_into,
            b64_message_into,
            copy_into,
            decimate2_into,
            expand_into,
            json_walk,
            scale_into,
            scale_peak,
            ulaw_encode_into,
            xor_mask,
        )

        IMPLEMENTATION = "portable"

from kernels_tables import ALAW_VALUES, ULAW_VALUES, decimate2_state
