"""`python -m tools monitor`: what a speaker says on its serial port, in words; comes back when the board does."""

import argparse
import contextlib
import functools
import json
import sys
import time

import serial
from rich.console import Console
from rich.text import Text

from tools import ToolError, printable
from tools.board import console as speakers
from tools.board import ports, tree

RETRY_S = 0.3
_POLL_S = 0.2
LINE_LIMIT_BYTES = 16384  # a board that sends no line end must not fill this computer
_STYLES = {"error": "red", "warning": "yellow", "turn": "green", "heard": "cyan", "said": "magenta", "state": "bold"}
_QUIET_FIELDS = ("kind", "t_ms")
_EPILOG = """\
examples:
  python -m tools monitor
  python -m tools monitor --save log.txt      the lines as they came, byte for byte, go to the file too
  python -m tools monitor --trace             what a running speaker remembers of its last events
  python -m tools monitor --raw | grep turn   one line of the board a line, for other programs

Ctrl-C ends the monitor, not the speaker. Lines that are not the speaker's own reports are shown dim. In the tracebacks
of a speaker from `deploy --small` files and functions have the names of the sources here, which must be those deployed.
"""


def run_cli(arguments):
    options = _parser().parse_args(arguments)
    port = ports.choose_port(options.port)
    console = Console(highlight=False, soft_wrap=True)
    if options.trace:
        return _dump_trace(port, console)
    with contextlib.ExitStack() as stack:
        save = stack.enter_context(open(options.save, "ab")) if options.save else None
        notes = Console(stderr=True, highlight=False, soft_wrap=True) if options.raw else console
        try:
            connection = ports.open_serial(port)
            notes.print("%s; Ctrl-C ends" % port, style="dim", markup=False)
            for line in read_lines(connection, lambda text: notes.print(text, style="yellow", markup=False)):
                if save:
                    save.write(line + b"\n")
                    save.flush()
                if options.raw:
                    print(safe(line), flush=True)
                else:
                    console.print(words(line), soft_wrap=True)
        except KeyboardInterrupt:
            notes.print("\nended; the speaker goes on", style="dim")
            raise
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        description="Watch a speaker's serial port, in words.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", help=ports.PORT_HELP)
    add("--save", metavar="FILE", help="append every line to FILE, as it came")
    add("--trace", action="store_true", help="print the last events that the running speaker remembers, and end")
    add("--raw", action="store_true", help="show the lines as they are; control characters are still written out")
    return parser


def _dump_trace(port, console):
    with speakers.Console(port) as speaker:
        for reply in speaker.ask_all({"do": "trace"}):
            for line in reply.get("lines", ()):
                console.print(printable(str(line)), markup=False)
    return 0


def read_lines(connection, note=lambda text: None, is_over=lambda: False):
    """Lines of the board as bytes without their ends, until is_over(); a port that goes is waited for, which note() is
    told. connection: the open pyserial port to begin with; it is closed at the end, as every later one is.
    """
    connection.timeout = _POLL_S
    port = connection.port
    rest = b""
    try:
        while not is_over():
            try:
                got = connection.read(max(1, connection.in_waiting))
            except (OSError, serial.SerialException):
                with contextlib.suppress(OSError, serial.SerialException):
                    connection.close()
                if rest:
                    yield rest.rstrip(b"\r")  # the last words before a crash may have no end
                note("the board has gone (a reset, or the cable); waiting for it ...")
                connection = _reopen(port, is_over)
                if connection is None:
                    return
                note("it is back")
                rest = b""
                continue
            *lines, rest = (rest + got).split(b"\n")
            if len(rest) > LINE_LIMIT_BYTES:
                lines, rest = lines + [rest], b""
            for line in lines:
                yield line.rstrip(b"\r")
    finally:
        with contextlib.suppress(OSError, serial.SerialException, AttributeError):
            connection.close()


def _reopen(port, is_over):
    while not is_over():
        try:
            return serial.serial_for_url(port, baudrate=ports.BAUD_HZ, timeout=_POLL_S, exclusive=True)
        except (OSError, serial.SerialException):
            time.sleep(RETRY_S)
    return None


def safe(line):
    """The line as text that cannot drive a terminal: control characters become escapes."""
    return printable(line.decode("utf-8", "replace"), keep="\t")


def words(line):
    """A line of the board as rich Text: a report in words, anything else dim."""
    report = _report(line)
    if report is None:
        return Text(_with_names(safe(line)), style="dim")
    kind = str(report["kind"])
    text = Text("%9s  " % _clock(report.get("t_ms")), style="dim")
    text.append("%-9s" % printable(kind)[:40], style=_STYLES.get(kind, ""))
    for part in _PHRASES.get(kind, _any)(report):
        text.append(part)
    return text


def _report(line):
    if not line.startswith(b"{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("kind"), str) else None


def _clock(t_ms):
    return "%.3f s" % (t_ms / 1000) if isinstance(t_ms, (int, float)) else ""


def _value(value):
    if isinstance(value, str):
        return printable(value)
    return printable(json.dumps(value, ensure_ascii=False))


def _state(report):
    yield "%s (was %s)" % (_value(report.get("state")), _value(report.get("before")))


def _text(report):
    for key in ("error_kind", "text", "log_id"):
        if report.get(key):
            yield "%s  " % _with_names(_value(report[key]))


def _with_names(text):
    """What `deploy --small` shortened in a traceback is called as in the sources here."""
    if 'File "' not in text:
        return text
    try:
        return _program().real_text(text)
    except (ToolError, OSError):  # the sources here are being worked on
        return text


@functools.lru_cache(maxsize=1)
def _program():
    return tree.small_program()


def _turn(report):
    """What a person waits for first, then everything that is not nought."""
    first = ("outcome", "turn", "generation", "mode")
    marks = [key for key in report if key.endswith("_ms") and key not in _QUIET_FIELDS]
    rest = [key for key in report if key not in first and key not in marks and key not in _QUIET_FIELDS]
    yield " ".join(_value(report[key]) for key in first if key in report)
    for key in marks + rest:
        value = report[key]
        if value not in (None, 0, "", [], {}, False):
            name, unit = (key[: -len("_ms")], " ms") if key.endswith("_ms") else (key, "")
            yield ", %s %s%s" % (printable(name).replace("_", " "), _value(value), unit)


def _trace(report):
    lines = report.get("lines")
    for line in lines if isinstance(lines, list) else []:
        yield "\n           " + _value(line)


def _any(report):
    yield ", ".join("%s %s" % (printable(key), _value(report[key])) for key in report if key not in _QUIET_FIELDS)


_PHRASES = {"state": _state, "error": _text, "warning": _text, "heard": _text, "said": _text, "stop": _text}
_PHRASES.update({"turn": _turn, "trace": _trace})

if __name__ == "__main__":
    sys.exit(run_cli(sys.argv[1:]))
