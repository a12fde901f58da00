"""Shows a run as it goes: states and transcripts scroll by, errors in red. Uses rich where it is installed."""

import json
import sys

_STYLES = {
    "listening": "bold green",
    "thinking": "yellow",
    "speaking": "bold cyan",
    "finishing": "cyan",
    "offline": "red",
}


def make(is_json, is_micropython=False):
    """A screen: start(), report(dict), note(text), end(Result)."""
    if is_json:
        return _Json()
    return _Scroll(_rich_line() or _plain_line)


def _plain_line(parts):
    print("".join(text for text, _ in parts), flush=True)


def _rich_line():
    """print_line(parts) in colours, None where rich is missing or the output is no terminal."""
    if not sys.stdout.isatty():
        return None
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return None
    console = Console(highlight=False)

    def line(parts):
        console.print(Text.assemble(*[(text, style or "") for text, style in parts]), soft_wrap=True)

    return line


class _Json:
    """The reports as they came; all else on stderr."""

    def start(self, cloud, interpreter, is_script):
        pass

    def report(self, report):
        print(json.dumps(report, ensure_ascii=False), flush=True)

    def note(self, text):
        print(text, file=sys.stderr, flush=True)

    def end(self, result):
        print(json.dumps(dict(result.run, kind="run", exit_code=result.exit_code), ensure_ascii=False), flush=True)
        if result.exit_code:
            print(result.why(), file=sys.stderr)


class _Scroll:
    def __init__(self, line):
        self._line = line
        self._t0_ms = None
        self._t_ms = 0

    def start(self, cloud, interpreter, is_script):
        from tools.sim import keys

        where = "an emulated cloud in this process, verified TLS" if cloud == "emulated" else cloud
        self._line([("Pipit on %s, %s" % (interpreter, where), "bold")])
        if not is_script and sys.stdin.isatty():
            self._line([(keys.HELP, "dim")])

    def note(self, text):
        self._line([("           ", ""), (text, "dim")])

    def report(self, report):
        t_ms = report.get("t_ms")
        if isinstance(t_ms, int):
            self._t0_ms = t_ms if self._t0_ms is None else self._t0_ms
            self._t_ms = (t_ms - self._t0_ms) & 0x3FFFFFFF
        show = getattr(self, "_" + report["kind"], self._other)
        parts = show(report)
        if parts:
            self._line([("%8.2f s  " % (self._t_ms / 1000), "dim")] + parts)

    def _state(self, report):
        name = report["state"]
        return [("● " + name, _STYLES.get(name, "magenta"))]

    def _heard(self, report):
        if report.get("final") is False:
            return None
        return [("you    ", "bold"), (report["text"], "")]

    def _said(self, report):
        return [("pipit  ", "bold cyan"), (report["text"], "")]

    def _turn(self, report):
        left_out = ("kind", "t_ms", "began_ms")
        fields = ["%s %s" % (key, report[key]) for key in report if key not in left_out]
        return [("turn   ", "dim"), (", ".join(fields), "dim")]

    def _error(self, report):
        return [("%s: %s" % (report.get("error_kind", "error"), report.get("text", "")), "bold red")]

    def _warning(self, report):
        return [("warning: " + str(report.get("text", "")), "yellow")]

    def _serial(self, report):
        return [("serial port  ", "bold"), (report["path"], "bold")]

    def _reply(self, report):
        return None  # the host that asked shows it

    def _keyboard(self, report):
        return [(report["text"], "yellow")]

    def _trace(self, report):
        return [(str(report.get("text", "")), "dim")]

    def _output(self, report):
        return [(report["text"], "red")]

    def _other(self, report):
        fields = ["%s %s" % (key, report[key]) for key in report if key not in ("kind", "t_ms")]
        return [(report["kind"] + "  ", "dim"), (", ".join(fields), "dim")]

    def end(self, result):
        run = result.run
        speaker = result.speaker
        if speaker.get("wav"):
            self._line([("%s: %.1f s, what was played" % (speaker["wav"], _seconds(speaker)), "")])
        counts = result.counts
        for name, text in (("rx_lost", "samples of the microphone were overwritten unread"),
                           ("tx_late", "samples came too late for their DMA descriptor")):  # fmt: skip
            if counts.get(name):
                self._line([("%d %s" % (counts[name], text), "yellow")])
        if result.is_timed_out:
            self._line([("stopped after %.0f s: its time was over" % result.seconds, "bold red")])
        elif result.exit_code:
            text = run.get("exit_text") or "the speaker ended with exit code %d" % result.exit_code
            self._line([(text, "bold red")])
            if run.get("exit_reason") not in ("script", "bad script"):
                self._line([(result.stderr[-4000:], "red")])


def _seconds(record):
    return record["samples"] / record["rate_hz"] if record["rate_hz"] else 0.0
