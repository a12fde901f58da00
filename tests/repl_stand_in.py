"""A board for tests: MicroPython's raw REPL and raw paste over a pseudo terminal, a flash chip that is a file.

What it is asked to run, a real MicroPython (unix port) runs, on a LittleFS of the board's geometry in that file; the
modules `machine`, `esp`, `esp32` and `sys` answer as an ESP32-S3 does. Only the dialogue on the wire is written here,
after shared/runtime/pyexec.c; test_board_repl.py holds it against the bytes of a real port.

    with StandIn(flash) as board:
        with Repl(board.port) as repl: ...

Faults: cut the cable or the power after so many bytes or writes, a full disk (few blocks), a reset in the middle,
garbage before the prompt, slow bytes, silence.
"""

import contextlib
import functools
import os
import pty
import select
import signal
import struct
import subprocess
import threading
import time
import tty

from tools import mpy

BLOCK_BYTES = 4096
WINDOW_BYTES = 128
BANNER = b"MicroPython v1.25.0 on 2025-04-15; Generic ESP32S3 module with Octal-SPIRAM with ESP32S3\r\n"
HELP = b'Type "help()" for more information.\r\n'
_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "board_child.py")


@functools.lru_cache(maxsize=1)
def _micropython():
    return mpy.launcher(64)  # proves itself at every call, which takes longer than a start of the board


class Faults:
    """What goes wrong: counts are of bytes that the host sent, or of writes to the flash; None: never."""

    def __init__(self, **wanted):
        self.cut_after_bytes = wanted.pop("cut_after_bytes", None)  # the cable and with it the power
        self.cut_after_writes = wanted.pop("cut_after_writes", None)  # the power, in the middle of that write
        self.reset_after_bytes = wanted.pop("reset_after_bytes", None)
        self.slow_s = wanted.pop("slow_s", 0)  # pause before each byte to the host
        self.garbage = wanted.pop("garbage", b"")  # sent at every start of the chip
        self.is_silent = wanted.pop("is_silent", False)
        self.is_deaf_to_ctrl_c = wanted.pop("is_deaf_to_ctrl_c", False)
        assert not wanted, wanted


class StandIn:
    """A board on a pseudo terminal; `flash` is the path of its flash chip's file, made and formatted when missing.

    facts: what it says of itself: machine (text), flash_bytes, psram_bytes. has_input: what the host sends while code
    runs goes to the code's sys.stdin, and what it leaves is lost; without it such bytes wait for the prompt. bytes_in
    and writes count what happened, so that a test can choose where to cut; seen is everything that was sent to the host.
    """

    def __init__(self, flash, blocks=512, faults=None, facts=None, has_input=False):
        self.flash = str(flash)
        self.blocks = blocks
        self.faults = faults or Faults()
        self.has_input = has_input
        self.facts = {"machine": "Generic ESP32S3 module with Octal-SPIRAM with ESP32S3", "version": (1, 25, 0, "")}
        self.facts.update({"flash_bytes": 16 << 20, "psram_bytes": 8 << 20}, **(facts or {}))
        self.bytes_in = 0
        self.writes = 0
        self.starts = 0
        self._has_started = threading.Condition()
        self.seen = b""
        self.is_off = False
        self._typed = b""
        self._thread = None
        self._child = None

    def __enter__(self):
        if not os.path.exists(self.flash):
            with open(self.flash, "wb") as file:
                file.write(b"\xff" * BLOCK_BYTES * self.blocks)
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._wake_read, self._wake_write = os.pipe()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)
        self._thread.start()
        assert self._is_up.wait(60), "the MicroPython behind the stand-in does not start"
        return self

    def __exit__(self, *_):
        os.write(self._wake_write, b"q")
        self._thread.join(10)
        assert not self._thread.is_alive(), "the stand-in hangs"
        self._power_off()
        for number in (self._wake_read, self._wake_write, self._slave):
            os.close(number)

    def wait_for_start(self, count):
        """Return when the board has been started so often. A host that comes sooner would interrupt the code that resets
        it, as it would on a real board.
        """
        with self._has_started:
            assert self._has_started.wait_for(lambda: self.starts >= count, 60), "the board was not reset"

    # -- the thread

    def _run(self):
        try:
            self._live()
        except (_Quit, _PowerCut):
            pass
        finally:
            self._is_up.set()
            self._power_off()

    def _live(self):
        is_raw = False
        while True:
            try:
                self._start(is_raw)
                while True:
                    is_raw = self._raw() if is_raw else self._friendly()
            except _SoftReset as reset:
                is_raw = reset.is_raw
                self._send(b"MPY: soft reboot\r\n")
            except _HardReset:
                is_raw = False

    def _start(self, is_raw):
        """Power or reset: boot.py, then main.py unless the raw REPL is on."""
        self._stop_child()
        self._typed = b""
        with self._has_started:
            self.starts += 1
            self._has_started.notify_all()
        self._send(self.faults.garbage)
        self._child = _Child(self)
        self._child.answer()  # it is up: before that a Ctrl-C would end it instead of reaching its code
        self._is_up.set()
        self._execute(b"F", b"/boot.py", is_program=True)
        if not is_raw:
            self._execute(b"F", b"/main.py", is_program=True)
            self._send(BANNER + HELP + b">>> ")
        else:
            self._send(b"raw REPL; CTRL-B to exit\r\n>")

    def _stop_child(self):
        child, self._child = self._child, None
        if child:
            child.kill()
            self.writes += child.writes

    def _power_off(self):
        """The board has gone: the host's next read or write fails. The slave stays open until the end: it keeps the number
        of the terminal, which another test on this computer would get, and with it our host's bytes.
        """
        if self.is_off:
            return
        self.is_off = True
        self._stop_child()
        with contextlib.suppress(OSError):
            os.close(self._master)

    # -- bytes

    def _byte(self):
        """The next byte of the host, those first that came while code ran."""
        if self._typed:
            byte, self._typed = self._typed[:1], self._typed[1:]
            return byte
        while True:
            ready = select.select([self._master, self._wake_read], [], [])[0]
            if self._wake_read in ready:
                raise _Quit
            byte = self._read(1)
            if byte:
                return byte

    def _read(self, count):
        try:
            got = os.read(self._master, count)
        except OSError:
            raise _Quit from None
        self.bytes_in += len(got)
        cut, reset = self.faults.cut_after_bytes, self.faults.reset_after_bytes
        if cut is not None and self.bytes_in > cut:
            raise _PowerCut
        if reset is not None and self.bytes_in > reset:
            self.faults.reset_after_bytes = None
            raise _HardReset
        return got

    def _send(self, data):
        if self.faults.is_silent or not data:
            return
        self.seen += data
        pieces = [bytes((byte,)) for byte in data] if self.faults.slow_s else [data]
        for piece in pieces:
            if self.faults.slow_s:
                time.sleep(self.faults.slow_s)
            while piece:
                ready = select.select([self._wake_read], [self._master], [])
                if ready[0]:
                    raise _Quit
                piece = piece[os.write(self._master, piece) :]

    # -- the two prompts

    def _friendly(self):
        """One key at the prompt >>> ; True when the raw REPL was asked for. Lines are run, not edited."""
        line = b""
        while True:
            key = self._byte()
            if key == b"\x01":
                self._send(b"\r\nraw REPL; CTRL-B to exit\r\n>")
                return True
            if key == b"\x02":
                self._send(b"\r\n" + BANNER + HELP + b">>> ")
            elif key == b"\x03":
                self._send(b"\r\n>>> ")
                line = b""
            elif key == b"\x04" and not line:
                self._send(b"\r\n")
                raise _SoftReset(is_raw=False)
            elif key == b"\r":
                self._send(b"\r\n")
                if line:
                    self._execute(b"C", line, is_program=True)
                self._send(b">>> ")
                line = b""
            else:
                self._send(key)
                line += key

    def _raw(self):
        """The raw REPL until it is left; False then."""
        line = b""
        while True:
            key = self._byte()
            if key == b"\x01":
                if line[:1] == b"\x05" and len(line) == 2:
                    if line != b"\x05A":
                        self._send(b"R\x00>")
                    else:
                        self._paste()
                else:
                    self._send(b"raw REPL; CTRL-B to exit\r\n>")
                line = b""
            elif key == b"\x02":
                self._send(b"\r\n" + BANNER + HELP + b">>> ")
                return False
            elif key == b"\x03":
                line = b""
            elif key == b"\x04":
                self._send(b"OK")
                if not line:
                    self._send(b"\r\n")
                    raise _SoftReset(is_raw=True)
                self._execute(b"C", line)
                self._send(b">")
                line = b""
            else:
                line += key

    def _paste(self):
        self._send(b"R\x01" + struct.pack("<H", WINDOW_BYTES) + b"\x01")
        code = b""
        while True:
            key = self._byte()
            if key in (b"\x03", b"\x04"):
                self._send(b"\x04")
                break
            code += key
            if len(code) % WINDOW_BYTES == 0:
                self._send(b"\x01")
        if key == b"\x04":
            self._execute(b"C", code)
        else:
            self._send(b"\x04KeyboardInterrupt: \r\n\x04")
        self._send(b">")

    # -- running code

    def _execute(self, kind, text, is_program=False):
        """Run code in the child, passing on what it prints. is_program: errors are printed, not framed by 0x04."""
        child = self._child
        child.ask(kind, text)
        while True:
            # With interrupts off the host's bytes wait in the terminal, as in the board's buffer, for the REPL to come.
            keys = [self._master] if child.has_interrupts else []
            ready = select.select(keys + [self._wake_read, child.output, child.control], [], [])[0]
            if self._wake_read in ready:
                raise _Quit
            if child.output in ready:
                printed = os.read(child.output, 4096)
                if not printed:
                    child.fail()
                self._send(printed.replace(b"\n", b"\r\n"))
            if self._master in ready:
                byte = self._read(1)
                if byte != b"\x03" and self.has_input:
                    child.type(byte)
                elif byte != b"\x03":
                    self._typed += byte
                elif not self.faults.is_deaf_to_ctrl_c:
                    child.interrupt()
            if child.control in ready and child.output not in ready:
                word, error = child.answer()
                if word not in (b"B", b"N", b"I"):
                    break
        self._send(child.rest().replace(b"\n", b"\r\n"))
        if word == b"R":
            raise _HardReset
        if word == b"X":
            raise _PowerCut
        error = error.replace(b"\n", b"\r\n")
        self._send(error if is_program else b"\x04" + error + b"\x04")
        if word == b"E":  # SystemExit: the REPL starts anew, as after Ctrl-D
            raise _SoftReset(is_raw=not is_program)


class _Quit(Exception):
    pass


class _PowerCut(Exception):
    pass


class _HardReset(Exception):
    pass


class _SoftReset(Exception):
    def __init__(self, is_raw):
        super().__init__()
        self.is_raw = is_raw


class _Child:
    """The real MicroPython; see board_child.py for its side of the pipes."""

    def __init__(self, board):
        facts = board.facts
        ask_read, self._ask = os.pipe()
        self.control, answer_write = os.pipe()
        cut = board.faults.cut_after_writes
        left = 1 << 30 if cut is None else max(0, cut - board.writes)
        words = [board.flash, board.blocks, ask_read, answer_write, left]
        words += [facts["machine"], facts["flash_bytes"], facts["psram_bytes"]]
        words.append(".".join(map(str, facts["version"][:3])))
        self._process = subprocess.Popen(
            [_micropython(), "-X", "heapsize=8M", _CHILD] + [str(word) for word in words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(ask_read, answer_write),
        )
        os.close(ask_read)
        os.close(answer_write)
        self.output = self._process.stdout.fileno()
        self.writes = 0
        self.has_interrupts = True
        self._asked = 0
        self._synchronised = 0
        self._is_running = False
        self._is_interrupted = False
        self._interrupted_s = 0

    def type(self, data):
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def ask(self, kind, text):
        if self._is_interrupted:
            self._synchronise()
        self._asked += 1
        self._is_interrupted = False
        self._interrupted_s = 0
        os.write(self._ask, kind + struct.pack("<I", len(text)))
        while text:
            text = text[os.write(self._ask, text) :]

    def answer(self):
        """(letter, text of the error) about the question that was asked last."""
        while True:
            word, number, error = self._message()
            if number == self._asked and word != b"S":
                self._is_running = word in (b"B", b"N", b"I")
                self.has_interrupts = word != b"N"
                if word == b"B" and self._is_interrupted:
                    self.interrupt()
                return word, error

    def _message(self):
        word, number, self.writes, size = struct.unpack("<cIII", self._exactly(13))
        return word, number, self._exactly(size)

    def _synchronise(self):
        """After this no Ctrl-C is under way any more; see board_child.py. Only the answer to an S that was sent after the
        Ctrl-C says so; on a busy computer those of an earlier time may still lie in the pipe.
        """
        first = self._synchronised + 1
        while True:
            self._synchronised += 1
            os.write(self._ask, b"S" + struct.pack("<I", self._synchronised))
            while select.select([self.control], [], [], 0.1)[0]:
                word, number, _ = self._message()
                if word == b"S" and number >= first:
                    return

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            got = os.read(self.control, count - len(data))
            if not got:
                self.fail()
            data += got
        return data

    def fail(self):
        """It has ended by itself."""
        raise AssertionError("the MicroPython behind the stand-in died (%s): %r" % (self._process.wait(), self.rest()))

    def rest(self):
        """What was printed and not read yet."""
        text = b""
        while select.select([self.output], [], [], 0)[0]:
            got = os.read(self.output, 4096)
            if not got:
                break
            text += got
        return text

    def interrupt(self):
        """Ctrl-C for the code that runs, or is about to. MicroPython ends at a second one that comes before it has
        seen the first, which may take it long on a busy computer, so one that comes soon is left out."""
        self._is_interrupted = True
        if self._is_running and time.monotonic() - self._interrupted_s > 1:
            self._interrupted_s = time.monotonic()
            self._process.send_signal(signal.SIGINT)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._process.stdin.close()
        os.close(self._ask)
        os.close(self.control)
