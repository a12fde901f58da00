"""`python -m tools selftest`: a board tests itself, or the simulated one does; shows the report and saves it."""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools import ROOT, ToolError, printable
from tools.board import ports
from tools.board.repl import BoardError, Repl

EPILOG = """\
examples:
  python -m tools selftest                        the connected board; asks you to look, listen and press
  python -m tools selftest --alone                no questions: what needs a person is skipped
  python -m tools selftest --only microphone,loop
  python -m tools selftest --report board.json    keep the report, for a bug report: it holds no secrets
  python -m tools selftest --sim                  the same program in the simulator
  python -m tools selftest --sim --break silent_mic   with hardware that is broken on purpose
  python -m tools selftest --list                 every check, and every way to break the simulated board

Exit codes: 0 nothing failed, 1 something did, 2 wrong command line.
"""
_SILENCE_S = 90  # a person is asked within; every check reports sooner
_SIM_TIMEOUT_S = 120
_PSRAM = "8m"  # the heap of the simulated board, whose file promises as much
_COLOURS = {"PASS": "green", "FAIL": "bold red", "SKIP": "yellow"}

# The application's folders as main.py would choose them, then the test with its questions on this serial line.
_PROGRAM = """
import json, os, sys
os.chdir("/")
try:
    with open("/slots/state.json") as file:
        state = json.load(file)
    folder = "/slots/" + (state.get("trial") or state.get("good"))
    sys.path[:0] = [folder, folder + "/lib"]
except (OSError, ValueError, TypeError, AttributeError):
    pass
from firmware.selftest import questions, runner
runner.main("config.json", %r, %s)
"""


def run_cli(arguments):
    parser = argparse.ArgumentParser(
        description="Test a board: pins, memory, sound, network, and what the simulator claims of the hardware.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--port", help=ports.PORT_HELP)
    parser.add_argument("--only", metavar="NAMES", help="these checks, separated by commas")
    parser.add_argument("--alone", action="store_true", help="ask nothing; what needs a person is skipped")
    parser.add_argument("--report", metavar="FILE", help="write the report there, as JSON")
    parser.add_argument("--sim", action="store_true", help="test the simulated board, with a simulated person")
    parser.add_argument("--break", dest="breaks", action="append", default=[], metavar="NAME",
                        help="with --sim: break its hardware in this way; may be given again")  # fmt: skip
    parser.add_argument("--interpreter", default="cpython", choices=("cpython", "micropython", "micropython32"),
                        help="with --sim: what the simulated chip runs on")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the checks and the ways to break, and end")
    options = parser.parse_args(arguments)
    checks, breaks = known_checks(), known_breaks()
    if options.list:
        print(listing(checks, breaks))
        return 0
    only = tuple(name.strip() for name in options.only.split(",")) if options.only else None
    for given, known, what in ((only or (), checks, "check"), (options.breaks, breaks, "way to break")):
        wrong = [name for name in given if name not in known]
        if wrong:
            parser.error("there is no %s named %s; --list shows them all" % (what, ", ".join(wrong)))
    if options.breaks and not options.sim:
        parser.error("--break is for the simulated board: add --sim")
    if options.report:
        _check_writable(options.report)
    screen = Screen()
    if options.sim:
        report = asyncio.run(test_simulated(only, options.breaks, options.alone, options.interpreter, screen.show))
    else:
        port = ports.choose_port(options.port)
        try:
            report = test_board(port, only, options.alone, screen)
        except KeyboardInterrupt:
            screen.console.print("\nstopped; RST on the board starts the speaker again")
            raise
    screen.show_summary(report)
    if options.report:
        with open(options.report, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)
        screen.console.print("The report is in %s." % escape(options.report))
    return 1 if report["failed"] or not report["passed"] else 0


def _check_writable(path):
    """ToolError now and not after minutes of testing."""
    try:
        is_new = not os.path.exists(path)
        open(path, "a", encoding="utf-8").close()
        if is_new:
            os.remove(path)
    except OSError as error:
        raise ToolError("%s cannot be written (%s): is the folder there, and yours?" % (path, error.strerror)) from None


# -- what there is


def known_checks():
    """{name: what it checks} of firmware/selftest, read from the source: it cannot be imported without `machine`."""
    import ast

    def parsed(name):
        with open(os.path.join(ROOT, "firmware", "selftest", name + ".py"), encoding="utf-8") as file:
            return ast.parse(file.read())

    rows = next(
        ast.literal_eval(node.value)
        for node in parsed("runner").body
        if isinstance(node, ast.Assign) and node.targets[0].id == "CHECKS"
    )
    texts = {}
    for module in {module for _, module in rows}:
        for node in parsed(module).body:
            if isinstance(node, ast.AsyncFunctionDef):
                texts[module, node.name] = ast.get_docstring(node) or ""
    return {name: texts[module, name].split("\n")[0] for name, module in rows}


def known_breaks():
    """{name: what is broken} of tools/sim/selftest_program.py."""
    import ast

    with open(os.path.join(ROOT, "tools", "sim", "selftest_program.py"), encoding="utf-8") as file:
        body = ast.parse(file.read()).body
    texts = {node.name: ast.get_docstring(node) for node in body if isinstance(node, ast.FunctionDef)}
    table = next(node for node in body if isinstance(node, ast.Assign) and node.targets[0].id == "BREAKS")
    names = [name.id for name in ast.walk(table.value.generators[0].iter) if isinstance(name, ast.Name)]
    return {name: texts[name] for name in names}


def listing(checks, breaks):
    lines = ["checks:"] + ["  %-14s %s" % row for row in checks.items()]
    return "\n".join(lines + ["", "ways to break the simulated board:"] + ["  %-14s %s" % row for row in breaks.items()])


# -- a board


def test_board(port, only, is_alone, screen):
    """The report of the board at `port`; ToolError when there is none."""
    lines = Lines(screen.show)
    with Repl(port, fresh=True) as board:

        def take(data):
            for report in lines.feed(data):
                if report.get("kind") == "ask":
                    board.type(screen.ask(report))

        screen.console.print("Testing the board at %s; Ctrl-C ends the test and keeps what is known." % escape(port))
        program = _PROGRAM % (only, "None" if is_alone else "questions.ask")
        try:
            board.exec(program, _SILENCE_S, "the self-test", take)
        except KeyboardInterrupt:
            screen.console.print("\nending the test; what is known comes next ...", style="dim")
            board.stop(take)
        except BoardError as error:
            if "no module named 'firmware" in error.traceback:
                raise ToolError(_NO_APPLICATION % "there is no application on the board") from None
            raise
        board.reset()  # the speaker that was ended for the test starts again
    return whole_report(lines.report)


_NO_APPLICATION = "%s. `python -m tools deploy` brings it, and with it the self-test"


class Lines:
    """Cuts what a board prints into lines; reports go to show(report), the last of the kind "selftest" is kept."""

    def __init__(self, show):
        self.report = None
        self._show = show
        self._rest = b""

    def feed(self, data):
        """The reports that are whole with `data`."""
        parts = (self._rest + data).split(b"\n")
        self._rest = parts.pop()[-65_536:]
        reports = []
        for part in parts:
            text = part.decode("utf-8", "replace").strip()
            try:
                report = json.loads(text)
            except (ValueError, RecursionError):
                report = None
            if not isinstance(report, dict):
                report = {"kind": "output", "text": text}
            if report.get("kind") == "selftest":
                self.report = report
            self._show(report)
            reports.append(report)
        return reports


def whole_report(report):
    if report is None:
        raise ToolError(_NO_APPLICATION % "the self-test ended without a report; what it printed is above")
    return report


# -- the simulated board


async def test_simulated(only, breaks, is_alone, interpreter, show):
    """The report of a simulated chip that talks with the emulated cloud over verified TLS."""
    from tools.cloud.server import CloudServer
    from tools.sim import runner

    found = []

    def on_line(report):
        if report.get("kind") == "selftest":
            found.append(report)
        show(report)

    with tempfile.TemporaryDirectory(prefix="pipit-selftest-") as folder:
        program = os.path.join(folder, "main.py")
        with open(program, "w", encoding="utf-8") as file:
            file.write("import selftest_program\nexit_code = selftest_program.main(%r, %r, %r)\n" % (only, breaks, is_alone))
        async with CloudServer(_SCENARIO, tls=True, keeps_audio=False) as cloud:
            result = await runner.run(
                cloud=cloud, interpreter=interpreter, main=program, timeout_s=_SIM_TIMEOUT_S, on_line=on_line,
                heapsize=_PSRAM,
                world={"noise_peak": 40, "echo_percent": 20},
            )  # fmt: skip
    if not found:
        raise ToolError("the simulated self-test ended without a report: " + result.why())
    return found[-1]


_SCENARIO = {
    "name": "selftest",  # nobody asks it anything: the test ends when the agent is ready
    "turns": [{"heard": "nothing", "answer": [{"text": "Yes?", "audio": {"signal": "noise", "ms": 100}}]}],
}


# -- the screen


class Screen:
    def __init__(self, console=None):
        self.console = console or Console()

    def show(self, report):
        """One line for each thing that a reader wants to see."""
        kind = report.get("kind")
        if kind == "testing":
            if self.console.is_terminal:
                self.console.print("%s …" % escape(str(report.get("name"))), end="\r", style="dim")
        elif kind == "check":
            self._show_check(report)
        elif kind in ("output", "error", "warning") and report.get("text"):
            self.console.print(escape(printable(str(report["text"]), keep="\n")), style="dim")

    def _show_check(self, result):
        verdict = str(result.get("verdict"))
        figures = result.get("figures") or {}
        text = ", ".join("%s %s" % (name.replace("_", " "), value) for name, value in figures.items())
        line = "[%s]%-4s[/] %-11s %s" % (
            _COLOURS.get(verdict, "white"), escape(verdict), escape(str(result.get("name"))), escape(printable(text)),
        )  # fmt: skip
        self.console.print(line, soft_wrap=True)
        if result.get("text"):
            self.console.print("     " + escape(printable(str(result["text"]))), soft_wrap=True)

    def ask(self, report):
        """The bytes that answer a question of the board."""
        text = escape(printable(str(report.get("text"))))
        if report.get("name") == "button":
            self.console.print("[bold]%s[/]" % text)
            return b"y\r"
        answer = ""
        if sys.stdin.isatty():
            with contextlib.suppress(EOFError):  # no answer: the check is skipped
                answer = self.console.input("[bold]%s[/] \\[y/n] " % text)
        return (answer.strip()[:1].lower() or "?").encode("ascii", "replace") + b"\r"

    def show_summary(self, report):
        table = Table(show_header=False, box=None, padding=(0, 1))
        table.add_row("board", escape(printable(str(report.get("board")))))
        table.add_row("system", escape(printable(str(report.get("system")))))
        table.add_row("result", "%d passed, %d failed, %d skipped%s" % (
            report["passed"], report["failed"], report["skipped"], "" if report.get("is_whole") else "; ended early"))  # fmt: skip
        self.console.print(table)
