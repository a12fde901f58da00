"""The raw REPL over a pseudo terminal: our side of it, and the stand-in held against the bytes of a real port.

BOARD_FIRMWARE=path/to/firmware.elf (MicroPython's qemu port, MPS2_AN385) holds the same dialogue with a real one in
QEMU; `python tests/test_board_repl.py firmware.elf` records it anew into board_qemu_dialogue.json.
"""

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import time
import tty

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path[:0] = [os.path.dirname(HERE), HERE]

from repl_stand_in import Faults, StandIn  # noqa: E402
from tools import ToolError  # noqa: E402
from tools.board import ports  # noqa: E402
from tools.board.repl import BoardError, BoardLost, Repl  # noqa: E402

RECORDED = os.path.join(HERE, "board_qemu_dialogue.json")
_LONG = "total = 0\n" + "".join("total += %d  # a line of a program that fills several windows\n" % i for i in range(12))
_LONG += "print(total)\n"

# Name of a step, the bytes that are sent, what the answer to it ends with. "paste:" sends with the flow control.
DIALOGUE = (
    ("ctrl-c at the prompt", b"\x03", b">>> "),
    ("empty line", b"\r", b">>> "),
    ("a line at the prompt", b"print(6*7)\r", b">>> "),
    ("enter the raw REPL", b"\x01", b">"),
    ("enter it again", b"\x01", b">"),
    ("run", b"print('hi')\x04", b"\x04>"),
    ("run without output", b"x = 5\x04", b"\x04>"),
    ("names stay", b"print(x)\nprint('a\\tb')\x04", b"\x04>"),
    ("ctrl-c clears what was typed", b"print('gone')\x03print('kept')\x04", b"\x04>"),
    ("exception", b"print(1)\n1/0\x04", b"\x04>"),
    ("exception in a function", b"def f():\n  raise ValueError('why')\nf()\x04", b"\x04>"),
    ("OSError", b"raise OSError(28)\x04", b"\x04>"),
    ("syntax error", b"x = = 1\x04", b"\x04>"),
    ("paste of an unknown kind", b"\x05B\x01", b">"),
    ("paste", ("paste:", "print('pasted')"), b"\x04>"),
    ("paste of several windows", ("paste:", _LONG), b"\x04>"),
    ("paste that raises", ("paste:", "print(2)\nraise KeyError('k')\n"), b"\x04>"),
    ("paste of nothing", ("paste:", ""), b"\x04>"),
    ("paste given up", b"\x05A\x01print(1)\x03", b">"),
    ("soft reset", b"\x04", b"exit\r\n>"),
    ("names are gone", b"print(x)\x04", b"\x04>"),
    ("leave the raw REPL", b"\x02", b">>> "),
    ("soft reset at the prompt", b"\x04", b">>> "),
)


class Wire:
    """A pseudo terminal, spoken to byte by byte."""

    def __init__(self, path):
        self._number = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._number)

    def close(self):
        os.close(self._number)

    def send(self, data):
        os.write(self._number, data)

    def until(self, ending, timeout_s=10):
        """Everything up to `ending` and whatever follows at once."""
        data = b""
        end_s = time.monotonic() + timeout_s
        while not data.endswith(ending) or select.select([self._number], [], [], 0.02)[0]:
            assert time.monotonic() < end_s, (data, ending)
            if select.select([self._number], [], [], 0.1)[0]:
                data += os.read(self._number, 1000)
        return data

    def exactly(self, count):
        data = b""
        while len(data) < count:
            assert select.select([self._number], [], [], 10)[0], data
            data += os.read(self._number, count - len(data))
        return data

    def paste(self, text):
        """Raw paste, as the host side of its specification says; what came back meanwhile."""
        self.send(b"\x05A\x01")
        head = self.exactly(4)
        assert head[:2] == b"R\x01", head
        window = left = head[2] | head[3] << 8
        back = head
        code = text.encode()
        while code:
            while left == 0 or select.select([self._number], [], [], 0.02)[0]:
                back += self.exactly(1)
                assert back[-1:] == b"\x01"
                left += window
            self.send(code[:left])
            code, left = code[left:], left - len(code[:left])
        self.send(b"\x04")
        return back


def hold(path):
    """The dialogue with whoever is behind the pseudo terminal: {step: what it sent}."""
    wire = Wire(path)
    try:
        wire.send(b"\r\x03\x02")
        wire.until(b">>> ")
        heard = {}
        for name, said, ending in DIALOGUE:
            if said[0] == "paste:":
                heard[name] = wire.paste(said[1]) + wire.until(ending)
            else:
                wire.send(said)
                heard[name] = wire.until(ending)
        return {name: normal(data) for name, data in heard.items()}
    finally:
        wire.close()


def normal(data):
    """As text, without what differs from board to board: the banner."""
    return re.sub(r"MicroPython v[^\r]*\r\n", "MicroPython BANNER\r\n", data.decode("latin-1"))


@contextlib.contextmanager
def qemu(firmware):
    """Path of the pseudo terminal of a MicroPython in QEMU."""
    command = "qemu-system-arm -machine mps2-an385 -display none -monitor none -semihosting -serial pty -kernel".split()
    process = subprocess.Popen(command + [firmware], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield re.search(r"/dev/pts/\d+", process.stdout.readline()).group()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def board(tmp_path):
    with StandIn(tmp_path / "flash", blocks=64) as stand_in:
        yield stand_in


def test_the_stand_in_speaks_as_a_real_port_does(board):
    with open(RECORDED, encoding="utf-8") as file:
        recorded = json.load(file)
    heard = hold(board.port)
    assert list(heard) == list(recorded)
    assert heard == recorded


if os.environ.get("BOARD_FIRMWARE"):

    def test_a_real_port_in_qemu_speaks_as_was_recorded():
        with open(RECORDED, encoding="utf-8") as file, qemu(os.environ["BOARD_FIRMWARE"]) as port:
            assert hold(port) == json.load(file)

    def test_repl_runs_code_on_a_real_port_in_qemu():
        with qemu(os.environ["BOARD_FIRMWARE"]) as port, Repl(port, fresh=True) as repl:
            assert repl.eval("6*7") == 42
            with pytest.raises(BoardError, match="ZeroDivisionError"):
                repl.exec("1/0")


if __name__ == "__main__":
    with qemu(sys.argv[1]) as qemu_port, open(RECORDED, "w", encoding="utf-8") as out:
        json.dump(hold(qemu_port), out, indent=1)
        out.write("\n")
