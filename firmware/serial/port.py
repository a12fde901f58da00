"""The serial port on which a host talks to this speaker.

On a chip stdin and stdout are that port, and Ctrl-C on it is made an exception by the interpreter, for any byte 0x03.
A packet of Improv holds that byte, so the application takes Ctrl-C over while it reads, and gives it back at its end.
"""

import select
import sys

from ..compat import IS_MICROPYTHON

_DESKTOPS = ("linux", "darwin", "win32")
_CTRL_C = 3


def find():
    """The StdioPort of a chip; None on a desktop, where stdin belongs to whoever started the program."""
    if IS_MICROPYTHON and sys.platform not in _DESKTOPS:
        return StdioPort()
    return None


class StdioPort:
    """The contract of a port:

    take_ctrl_c(), give_back_ctrl_c()   whose 0x03 is; give_back may be called twice
    read()                              the next byte from the host, -1 when none waits; never blocks
    write(data)                         bytes as they are, without the ends of lines that print() makes
    """

    def __init__(self, stdin=None, stdout=None):
        stdin = stdin or sys.stdin
        self._in = stdin.buffer
        self._out = (stdout or sys.stdout).buffer
        self._byte = bytearray(1)
        self._poll = select.poll()
        self._poll.register(stdin, select.POLLIN)

    def take_ctrl_c(self):
        _set_ctrl_c(-1)

    def give_back_ctrl_c(self):
        _set_ctrl_c(_CTRL_C)

    def read(self):
        for _ in self._poll.ipoll(0):
            if self._in.readinto(self._byte):
                return self._byte[0]
        return -1

    def write(self, data):
        self._out.write(data)


def _set_ctrl_c(byte):
    import micropython

    micropython.kbd_intr(byte)
