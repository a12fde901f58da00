"""The stand-ins of the simulated board, in this very process, and everything of the firmware that outlives a speaker.

A process runs one speaker at a time; `fresh()` makes it forget the last one.
"""

import os
import sys

from tools import ROOT

_FOLDERS = [os.path.join(ROOT, *place) for place in (("tools", "sim", "standins"), ("tools", "sim"), ("lib",))]


def install():
    """Let `import machine`, `import network` and `import simworld` find the stand-ins, once a process."""
    for folder in reversed(_FOLDERS):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    from tools.storm import fast_kernels

    fast_kernels.install()


def fresh(world):
    """`world` (simworld.world.World) is the one that the stand-ins look at from now on; nothing is left of the last."""
    import machine
    import network
    from firmware import app, tasks
    from firmware.net import link
    from simworld import world as worlds

    worlds.current = world
    machine.I2S._in_use[:] = [None, None]
    machine._pin_states.clear()
    network._states[:] = [network._Station(), network._Station()]
    tasks._alive.clear()
    link._spare_buffers.clear()
    app._speaker = None
