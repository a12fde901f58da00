"""Counts instructions on a Cortex-M3 whose every instruction takes one nanosecond (QEMU's -icount shift=0).

SysTick runs at 25 MHz: one count is 40 instructions. It is 24 bits wide and wraps after 671 million instructions.
"""

import gc

from machine import mem32

_CONTROL = 0xE000E010
_RELOAD = 0xE000E014
_VALUE = 0xE000E018
_TICK_INSTRUCTIONS = 40

mem32[_RELOAD] = 0xFFFFFF
mem32[_VALUE] = 0
mem32[_CONTROL] = 5


def count(step, prepare=None, calls=16):
    """Instructions of one step(), the mean of `calls`; prepare() runs before each and is not counted.

    Collections that happen within are part of it, as they are in life.
    """
    empty = _ticks(_nothing, None, calls)
    return (_ticks(step, prepare, calls) - empty) * _TICK_INSTRUCTIONS // calls


def _ticks(step, prepare, calls):
    gc.collect()
    ticks = 0
    for _ in range(calls):
        if prepare:
            prepare()
        before = mem32[_VALUE]
        step()
        ticks += (before - mem32[_VALUE]) & 0xFFFFFF
    return ticks


def _nothing():
    pass
