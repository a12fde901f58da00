"""The console of a running speaker: commands to it as JSON lines, its replies picked out of everything else it prints.

    with Console(port) as speaker:
        status = speaker.ask({"do": "status"})

The same port carries the speaker's reports, its transcripts, the log of the chip and, on a bad day, noise. A reply is
known by its kind and its id; whatever else comes goes to on_report and on_text. When no speaker answers (the REPL
does, or nothing), Console() raises NoConsole: then tools/board/repl.py is the way in.
"""

import base64
import contextlib
import hashlib
import json
import time

import serial

from tools import ToolError
from tools.board import ports

HELLO_WAIT_S = 5.0  # a board that was reset by the opening of its port leaves 2 s to the REPL before it begins
ANSWER_WAIT_S = 5.0
COMMAND_MAX_BYTES = 4096
PIECE_BYTES = 1024  # of a file, before base64
# A board keeps 260 bytes from a UART for its program, which looks every few milliseconds; with native USB the rest waits
# on our side.
UART_PIECE_BYTES = 200
UART_PAUSE_S = 0.05
_HELLO_EVERY_S = 0.7
_POLL_S = 0.05
_LINE_MAX_BYTES = 65_536


class NoConsole(ToolError):
    """The port is open, and no running speaker answers on it. seen: the last text that came, "" for none."""

    def __init__(self, text, seen=""):
        super().__init__(text)
        self.seen = seen


class ConsoleLost(ToolError):
    """The port went away (cable, reset), or a command was not answered in time."""


class ConsoleMute(ConsoleLost):
    """The port is there, but the command was not answered in time."""


class Refused(ToolError):
    """The speaker understood and said no; error_kind is one of firmware.errors.KINDS, the text its own."""

    def __init__(self, text, error_kind):
        super().__init__(text)
        self.error_kind = error_kind


class Console:
    """port: a device or the path of a pty. on_report(dict) gets every report that is no reply to us, on_text(str) every
    other line. `hello` holds what the speaker said of itself.

    Not for several threads. ToolError when the port cannot be opened, NoConsole when nobody answers within wait_s.
    """

    def __init__(self, port, on_report=None, on_text=None, wait_s=HELLO_WAIT_S):
        self.port = port
        self.on_report = on_report
        self.on_text = on_text
        self.hello = {}
        self._id = int(time.time() * 1000) % 1_000_000 * 1000  # no reply to an earlier program is taken for ours
        self._line = bytearray()
        self._is_too_long = False
        self._reports = []  # taken in while a reply was awaited, for next_report()
        self._seen = ""
        self._serial = ports.open_serial(port, _POLL_S)
        self._piece_bytes = UART_PIECE_BYTES if ports.is_uart(port) else COMMAND_MAX_BYTES
        try:
            self._greet(wait_s)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """May be called twice. The speaker goes on."""
        with contextlib.suppress(OSError, serial.SerialException):
            self._serial.close()

    # -- commands

    def ask(self, command, timeout_s=ANSWER_WAIT_S):
        """Send {"do": ..., ...} and return the reply. Refused when the speaker says no, ConsoleLost when it is mute."""
        asked = self._send(command)
        return self._reply_to(asked, command["do"], timeout_s)

    def ask_all(self, command, timeout_s=ANSWER_WAIT_S):
        """As ask(), for what is answered in pieces: the list of the replies, the last one without "more"."""
        asked = self._send(command)
        replies = [self._reply_to(asked, command["do"], timeout_s)]
        while replies[-1].get("more"):
            replies.append(self._reply_to(asked, command["do"], timeout_s))
        return replies

    def put(self, path, data, on_bytes=None):
        """Write a file that the speaker lets itself be given (tls_roots/NAME.der): whole, or not at all."""
        for at in range(0, max(1, len(data)), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            command = {"do": "put", "path": path, "at": at, "data": base64.b64encode(piece).decode()}
            command["last"] = at + len(piece) >= len(data)
            if command["last"]:
                command["sha256"] = hashlib.sha256(data).hexdigest()
            self.ask(command)
            if on_bytes:
                on_bytes(len(piece))

    def remove(self, path):
        """Remove such a file."""
        self.ask({"do": "put", "path": path, "remove": True})

    def next_report(self, timeout_s):
        """The next report of the speaker, in order, none left out; None when timeout_s pass without one."""
        deadline_s = time.monotonic() + timeout_s
        while not self._reports:
            if time.monotonic() >= deadline_s:
                return None
            self._take_in()
        return self._reports.pop(0)

    # -- below

    def _greet(self, wait_s):
        self._write(b"\n")  # ends what another program may have left half typed
        deadline_s = time.monotonic() + wait_s
        while True:
            asked = self._send({"do": "hello"})
            left_s = min(_HELLO_EVERY_S, deadline_s - time.monotonic())
            with contextlib.suppress(ConsoleMute):
                self.hello = self._reply_to(asked, "hello", max(left_s, _POLL_S))
            if self.hello.get("product") == "pipit":
                return
            if time.monotonic() >= deadline_s:
                raise NoConsole("no running speaker answers at %s" % self.port, self._seen)

    def _send(self, command):
        self._id += 1
        line = json.dumps(dict(command, id=self._id)).encode() + b"\n"
        if len(line) > COMMAND_MAX_BYTES:
            raise ToolError(
                "this is too much for one command (%d bytes of at most %d): set fewer values at a time"
                % (len(line), COMMAND_MAX_BYTES)
            )
        self._write(line)
        return self._id

    def _write(self, data):
        try:
            for start in range(0, len(data), self._piece_bytes):
                if start:
                    time.sleep(UART_PAUSE_S)
                self._serial.write(data[start : start + self._piece_bytes])
        except (OSError, serial.SerialException) as error:
            raise self._lost(error) from None

    def _reply_to(self, asked, do, timeout_s):
        deadline_s = time.monotonic() + timeout_s
        waiting = []
        try:
            while time.monotonic() < deadline_s:
                self._take_in()
                while self._reports:
                    report = self._reports.pop(0)
                    if report.get("kind") != "reply":
                        waiting.append(report)
                    elif report.get("id") == asked:
                        return self._judged(report, do)
        finally:
            self._reports[:0] = waiting
        raise ConsoleMute(
            "the speaker at %s did not answer to '%s' within %g s: press RST on the board and try again"
            % (self.port, do, timeout_s)
        )

    def _judged(self, reply, do):
        if reply.get("ok") is True:
            return reply
        text = reply.get("text") or "the speaker refused '%s' and gave no reason" % do
        raise Refused(str(text), str(reply.get("error_kind") or ""))

    def _take_in(self):
        """Read what is there, for _POLL_S at most, and deal out whole lines."""
        try:
            data = self._serial.read(max(1, self._serial.in_waiting))
        except (OSError, serial.SerialException) as error:
            raise self._lost(error) from None
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._line += end
            line = bytes(self._line)
            self._line.clear()
            if not self._is_too_long:
                self._deal_out(line)
            self._is_too_long = False
        self._line += rest
        if len(self._line) > _LINE_MAX_BYTES:
            self._line.clear()
            self._is_too_long = True  # the rest of this line is no line either

    def _deal_out(self, line):
        text = line.decode("utf-8", "replace").strip("\r\n\x00 ")
        if not text:
            return
        self._seen = text[-200:]
        report = _report_in(text)
        if report is None:
            if self.on_text:
                self.on_text(text)
            return
        self._reports.append(report)
        if report["kind"] != "reply" and self.on_report:
            self.on_report(report)

    def _lost(self, error):
        return ConsoleLost("lost %s (%s): is the cable in, was the board reset?" % (self.port, ports.why_lost(error)))


def _report_in(text):
    """The report in a line: alone, or behind text that came without an end of line. None when there is none."""
    at = text.find("{")
    while at >= 0:
        try:
            found = json.loads(text[at:])
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and isinstance(found.get("kind"), str):
            return found
        at = text.find('{"', at + 1)
    return None


def wait_for_console(port, timeout_s, **options):
    """The Console of a speaker that starts anew: its port may be gone for a while. NoConsole when it never answers."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        left_s = deadline_s - time.monotonic()
        try:
            return Console(port, wait_s=max(1.0, left_s), **options)
        except NoConsole:
            raise
        except ToolError:  # not there (yet), or lost while we greeted
            if left_s <= 0:
                raise NoConsole("the speaker did not come back at %s within %g s" % (port, timeout_s)) from None
        time.sleep(0.2)
