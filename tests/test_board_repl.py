"""The raw REPL over a pseudo terminal: our side of it, and the stand-in held against the bytes of a real port.

BOARD_FIRMWARE=path/to/firmware.elf (MicroPython's qemu port, MPS2_AN385) holds the same dialogue with a real one in
QEMU; `python tests/test_board_repl.py firmware.elf` records it anew into board_qemu_dialogue.json.
"""

import contextlib
import hashlib
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
from tools.board import deploy, ports, repl as repl_module  # noqa: E402
from tools.board.repl import BoardError, BoardLost, Repl  # noqa: E402

RECORDED = os.path.join(HERE, "board_qemu_dialogue.json")
_LONG = "total = 0\n"
_LONG += "".join("total += %d  # a line of a program that fills several windows\n" % i for i in range(12))
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
        wire.send(b"\r\x03\x02print('re' + 'ady')\r")
        wire.until(b"ready\r\n>>> ")  # not the banner of one that is just starting
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
    with StandIn(tmp_path / "flash", blocks=24) as stand_in:
        yield stand_in


def test_the_stand_in_speaks_as_a_real_port_does(board):
    with open(RECORDED, encoding="utf-8") as file:
        recorded = json.load(file)
    heard = hold(board.port)
    assert list(heard) == list(recorded)
    assert heard == recorded


LOOP = b"""
import time
print('running')
try:
    while True:
        time.sleep_ms(2)
except KeyboardInterrupt:
    print('ends in order')
"""


def said(board, text, times):
    """Return when the board has said `text` so many times."""
    end_s = time.monotonic() + 10
    while board.seen.count(text) < times:
        assert time.monotonic() < end_s, board.seen
        time.sleep(0.005)


def test_code_runs_and_says_what_it_printed(board):
    with Repl(board.port) as repl:
        assert repl.exec("print('one\\ntwo')") == "one\ntwo\n"
        assert repl.eval("(1, 'a', b'\\x00\\xff')") == (1, "a", b"\x00\xff")
        assert repl.exec("print('ä€')") == "ä€\n"
        long = "x = 0\n" + "x += 1\n" * 3000 + "print(x)"
        assert repl.exec(long) == "3000\n"


def test_an_exception_on_the_board_is_told_with_its_traceback(board):
    with Repl(board.port) as repl:
        with pytest.raises(BoardError, match="ZeroDivisionError: divide by zero") as caught:
            repl.exec("print(1)\n1/0", doing="dividing")
        assert "dividing" in str(caught.value) and 'line 2, in <module>' in caught.value.traceback
        assert repl.eval("1 + 1") == 2  # the session goes on
        with pytest.raises(BoardError) as caught:
            repl.exec("raise ValueError('\\x1b[2J')")
        assert "\x1b" not in str(caught.value) + caught.value.traceback


def test_files_and_folders(board):
    data = bytes(range(256)) * 20 + b"end"
    with Repl(board.port) as repl:
        repl.mkdir("/a/b/c")
        repl.mkdir("/a/b")
        counted = []
        repl.write_file("/a/b/file", data, on_bytes=counted.append)
        assert sum(counted) == len(data)
        assert repl.read_file("/a/b/file") == data
        assert repl.sha256("/a/b/file") == hashlib.sha256(data).hexdigest()
        assert (repl.size("/a/b/file"), repl.size("/a"), repl.size("/nothing")) == (len(data), -1, None)
        assert repl.size("/a/b/file/below") is None
        assert repl.listdir("/a/b") == ["c", "file"]
        repl.write_file("/a/b/file", b"")
        assert repl.read_file("/a/b/file") == b""
        repl.remove("/a")
        repl.remove("/a")
        assert repl.listdir() == []
        with pytest.raises(BoardError) as caught:
            repl.read_file("/nothing")
        assert caught.value.number == 2


def test_a_full_disk_leaves_the_old_file_and_no_remains(board):
    with Repl(board.port) as repl:
        repl.write_file("/file", b"old")
        with pytest.raises(BoardError, match="disk is full") as caught:
            repl.write_file("/file", os.urandom(24 * 4096))
        assert caught.value.number == 28
        assert repl.read_file("/file") == b"old" and repl.listdir() == ["file"]


def test_a_running_application_is_ended_in_order_and_starts_again_at_a_reset(board):
    with Repl(board.port) as repl:
        repl.write_file("/main.py", LOOP)
        repl.reset()
    said(board, b"running", 1)
    with Repl(board.port) as repl:
        assert b"running\r\nends in order\r\n" in board.seen
        repl.reset()
    said(board, b"running", 2)
    with Repl(board.port, fresh=True) as repl:
        assert board.seen.count(b"ends in order") == 2
        assert repl.eval("'LOOP' in globals()") is False


def test_a_raw_repl_that_another_program_left_is_taken_over(board):
    wire = Wire(board.port)
    wire.send(b"\x01")
    wire.until(b">")
    wire.send(b"print('half typed")
    wire.close()
    with Repl(board.port) as repl:
        assert repl.eval("1") == 1


def test_garbage_before_the_prompt_does_no_harm(tmp_path):
    garbage = bytes(range(128, 256)) * 8 + b"ESP-ROM:esp32s3-20210327\r\n>>> rst:0x1\r\n"
    with StandIn(tmp_path / "flash", 64, Faults(garbage=garbage)) as board, Repl(board.port, fresh=True) as repl:
        assert repl.eval("6 * 7") == 42


ASKED = {
    "size": lambda board: board.size("/x"),
    "listdir": lambda board: board.listdir("/"),
    "read_file": lambda board: board.read_file("/x"),
    "free_bytes": lambda board: board.free_bytes(),
    "eval": lambda board: board.eval("1"),
    "hashes": lambda board: deploy._hashes(board, "/slots/a"),
}


@pytest.mark.parametrize("noise", ["E (4711) wifi: no heap\n", "\n", "x", "no x\n", "'a' b c\n", "[" * 9000 + "\n"])
@pytest.mark.parametrize("asked", ASKED)
def test_the_log_of_the_chip_between_the_answers_is_told(asked, noise):
    board = Repl("/dev/ttyX")
    board.exec = lambda *_, **__: noise
    with contextlib.suppress(BoardLost):
        found = ASKED[asked](board)
        assert asked in ("listdir", "read_file", "hashes") and not found, "nothing at all is an answer to these"


def test_slow_bytes_are_waited_for(tmp_path):
    with StandIn(tmp_path / "flash", 64, Faults(slow_s=0.002)) as board, Repl(board.port) as repl:
        assert repl.exec("print('slow')") == "slow\n"


def test_a_board_that_says_nothing_is_told_with_what_to_press(tmp_path, monkeypatch):
    monkeypatch.setattr(repl_module, "INTERRUPT_TIMEOUT_S", 0.4)
    with StandIn(tmp_path / "flash", 64, Faults(is_silent=True)) as board:
        with pytest.raises(ToolError, match="Press RST"), Repl(board.port):
            pass


def test_a_board_that_only_chatters_is_told_with_its_words(tmp_path, monkeypatch):
    monkeypatch.setattr(repl_module, "INTERRUPT_TIMEOUT_S", 0.6)
    with StandIn(tmp_path / "flash", 64, Faults(is_deaf_to_ctrl_c=True)) as board:
        with Repl(board.port) as repl:
            repl.write_file("/main.py", b"import time\nwhile True:\n  print('running')\n  time.sleep_ms(20)\n")
            repl.reset()
        said(board, b"running", 1)
        with pytest.raises(ToolError, match="no MicroPython prompt.*running"), Repl(board.port):
            pass


@pytest.mark.parametrize("cut", [2, 30, 200, 1500])
def test_a_cut_cable_is_told_with_what_was_being_done(tmp_path, cut):
    with StandIn(tmp_path / "flash", 64, Faults(cut_after_bytes=cut)) as board:
        with pytest.raises(BoardLost, match="check the cable"), Repl(board.port) as repl:
            repl.write_file("/file", bytes(3000))


def test_a_port_in_use_names_who_has_it(board):
    with Repl(board.port):
        words = [sys.executable, "-c", "from tools.board.repl import Repl\nRepl(%r).__enter__()" % board.port]
        done = subprocess.run(words, capture_output=True, text=True, cwd=os.path.dirname(HERE), timeout=30)
    assert "is in use by" in done.stderr and "(process %d)" % os.getpid() in done.stderr


def test_a_port_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(ToolError, match="there is no port"):
        ports.choose_port(str(tmp_path / "ttyACM9"))
    with pytest.raises(ToolError, match="there is no port"), Repl(str(tmp_path / "ttyACM9")):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError), Repl(str(tmp_path / "file")):
        pass


def test_a_forbidden_port_names_the_group_to_join(board):
    error = ports.why_closed("/dev/null", PermissionError(13, "Permission denied"))
    assert "no permission" in str(error)
    group = os.stat(board.port).st_gid
    text = str(ports.why_closed(board.port, PermissionError(13, "Permission denied")))
    assert "no permission" in text and (group == 0 or "usermod -aG" in text)


def test_which_port_is_meant(monkeypatch):
    native = ports.Port("/dev/ttyACM0", "Espressif", 0x303A)
    bridge = ports.Port("/dev/ttyUSB0", "CP210x", 0x10C4)
    stick = ports.Port("/dev/ttyUSB1", "a modem", 0x1234)
    monkeypatch.setattr(ports, "list_ports", lambda: [stick])
    assert ports.choose_port() == stick.device  # the only one, whatever it is
    monkeypatch.setattr(ports, "list_ports", lambda: [native, stick])
    assert ports.choose_port() == native.device
    monkeypatch.setattr(ports, "list_ports", lambda: [native, bridge, stick])
    with pytest.raises(ToolError, match="2 boards could be meant.*\n.*ttyACM0.*\n.*ttyUSB0"):
        ports.choose_port()
    monkeypatch.setattr(ports, "list_ports", lambda: [])
    with pytest.raises(ToolError, match="no board found"):
        ports.choose_port()


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
