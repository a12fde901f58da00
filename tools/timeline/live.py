"""The time line of a run of the simulator: its reports, and what tools/sim/witness.py wrote down meanwhile."""

import statistics

from .model import Envelope, Timeline

_TICKS = 0x3FFFFFFF  # the speaker's clock wraps there
_HALF = 0x20000000

# Entries of the trace that say something which no lane of the page shows.
_TRACE_TEXTS = {
    "link_up": "link: up after %d ms",
    "retry": "link: next try in %d ms",
    "wifi_up": "link: Wi-Fi is there after %d ms",
    "dns": "link: the look-up of the host took %d ms",
    "flush": "flush of %d bytes",
    "cancel": "cancel is sent",
    "stale_audio": "%d bytes of a dead turn dropped",
    "overrun": "warning: %d ms of the microphone lost",
    "ring_full": "warning: ring full, %d bytes cut",
    "uplink_drop": "warning: link too slow, %d frames dropped",
    "malformed": "warning: a message could not be read, %d so far",
    "too_big": "warning: a message was too long, %d so far",
    "ring_most": "the ring held at most %d bytes so far",
    "queue_most": "at most %d ms of microphone waited for the link so far",
}
_GC_SHOWN_MS = 20
_ENOUGH_FOR_P95 = 40


def from_run(result, title, command="", plan=""):
    """A Timeline out of a runner.Result whose run was witnessed; what is missing, say after a crash, is left out."""
    line = Timeline(title, command=command, plan=plan)
    notes = _Notes(result.witness)
    line.mic = notes.mic.track()
    line.speaker = notes.speaker.track()
    line.ring = {"capacity_bytes": notes.ring_bytes, "points": notes.ring}
    for t_ms, what in notes.actions:
        _add_action(line, t_ms, what)
    for t_ms, name, arg in notes.trace:
        _add_trace(line, t_ms, name, arg)
    for report in result.reports:
        _add_report(line, report, notes.since_zero)
    line.end_ms = result.run.get("ended_ms") or notes.last_ms
    line.end_ms = max([line.end_ms, 1] + [entry[0] for entry in line.states + line.events])
    line.faults = [[begin, line.end_ms if end is None else end, name, text] for begin, end, name, text in line.faults]
    if result.exit_code:
        line.events.append([line.end_ms, "error: the run failed, " + failure(result)])
    line.events.sort(key=lambda event: event[0])
    line.figures = figures(line, result)
    return line


def failure(result):
    """Why a run that failed did so, in one line."""
    if result.is_timed_out:
        return "it was stopped because its time was over"
    last_words = result.stderr.strip().splitlines()[-1:]
    return result.run.get("exit_text") or "".join(last_words) or "exit code %d" % result.exit_code


class _Notes:
    """The lines of the witness, parsed; a line that was cut off by a crash is skipped."""

    def __init__(self, text):
        self.zero_ms = 0
        self.ring_bytes = 0
        self.mic = Envelope()
        self.speaker = Envelope()
        self.ring = []
        self.actions = []
        self.trace = []
        self.last_ms = 0
        for line in text.splitlines():
            try:
                self._read(line.split(" ", 2))
            except (ValueError, IndexError):
                continue

    def _read(self, words):
        kind, number = words[0], int(words[1])
        if kind == "zero":
            self.zero_ms = number
        elif kind == "ring":
            self.ring_bytes = number
        elif kind == "e":
            name, arg = words[2].split()
            self.trace.append([self.since_zero(number), name, int(arg)])
        else:
            self._read_world(kind, number, words[2])
            self.last_ms = max(self.last_ms, number)

    def _read_world(self, kind, t_ms, rest):
        if kind == "m":
            self.mic.add(t_ms, int(rest))
        elif kind == "s":
            self.speaker.add(t_ms, int(rest))
        elif kind == "r":
            self.ring.append([t_ms, int(rest)])
        elif kind == "a":
            self.actions.append([t_ms, rest])

    def since_zero(self, ticks_ms):
        """The speaker's clock as ms since the world began; it wraps, and may begin a little before the world."""
        ms = (ticks_ms - self.zero_ms) & _TICKS
        return ms - _TICKS - 1 if ms >= _HALF else ms


def _add_action(line, t_ms, what):
    name, _, way = what.partition(" ")
    if what in ("press", "release"):
        line.button.append([t_ms, what == "press"])
    elif name in ("wifi", "ntp"):
        is_open = [fault for fault in line.faults if fault[2] == name and fault[1] is None]
        if way == "down" and not is_open:
            text = "the access point is gone" if name == "wifi" else "the time servers do not answer"
            line.faults.append([t_ms, None, name, text])
        elif way == "up" and is_open:
            is_open[0][1] = t_ms
    elif name == "say":
        line.events.append([t_ms, "at the microphone: " + way.replace("\\", "/").rpartition("/")[2]])
    elif way != "let go":
        line.events.append([t_ms, what])


def _add_trace(line, t_ms, name, arg):
    if name == "underrun":
        line.underruns.append([t_ms - arg, arg])
    elif name == "link_down":
        line.events.append([t_ms, "link: closed in order" if arg < 0 else "link: lost"])
    elif name == "gc" and arg >= _GC_SHOWN_MS:
        line.events.append([t_ms, "garbage collected in %d ms" % arg])
    elif name in _TRACE_TEXTS:
        text = _TRACE_TEXTS[name]
        line.events.append([t_ms, text % arg if "%" in text else text])


def _add_report(line, report, since_zero):
    kind, t_ms = report.get("kind"), report.get("t_ms")
    if not isinstance(t_ms, int):
        return
    t_ms = since_zero(t_ms)
    text = str(report.get("text", ""))
    if kind == "state":
        line.states.append([t_ms, str(report.get("state"))])
    elif kind == "turn":
        turn = {key: value for key, value in report.items() if key != "kind"}
        turn["t_ms"] = t_ms
        if isinstance(turn.get("began_ms"), int):
            turn["began_ms"] = since_zero(turn["began_ms"])
        line.turns.append(turn)
    elif kind == "heard" and report.get("final") is not False:
        line.events.append([t_ms, "you: " + text])
    elif kind == "said":
        line.events.append([t_ms, "pipit: " + text])
    elif kind in ("error", "warning"):
        line.events.append([t_ms, "%s: %s" % (kind, text)])
    elif kind == "volume":
        line.events.append([t_ms, "volume is %s %%" % report.get("percent")])
    elif kind == "tool":
        line.events.append([t_ms, "tool %s is called" % report.get("name")])
    elif kind in ("boot", "provision", "stop"):
        line.events.append([t_ms, kind])


def figures(line, result):
    """{name: text}: what one wants to know first."""
    found = {"ended": "in order" if result.exit_code == 0 else failure(result)}
    found.update(turn_figures(line.turns))
    if line.turns:
        silent_ms = sum(ms for _, ms in line.underruns)
        found["underruns"] = "%d, %d ms in all" % (len(line.underruns), silent_ms) if line.underruns else "none"
    for name, text in (("rx_lost", "microphone samples lost"), ("tx_late", "samples too late for their block")):
        if result.counts.get(name):
            found[text] = str(result.counts[name])
    if result.run.get("interpreter"):
        found["interpreter"] = result.run["interpreter"]
    return found


def turn_figures(turns):
    """{name: text}: outcomes, and how long the person waited between the question's end and the answer's begin."""
    if not turns:
        return {"turns": "0"}
    outcomes = {}
    for turn in turns:
        outcomes[turn.get("outcome")] = outcomes.get(turn.get("outcome"), 0) + 1
    found = {"turns": ", ".join("%d %s" % (outcomes[name], name) for name in sorted(outcomes, key=str))}
    waits = sorted(
        turn["first_sample_ms"] - turn["release_ms"]
        for turn in turns
        if turn.get("first_sample_ms", -1) >= 0 and turn.get("release_ms", -1) >= 0
    )
    if waits:
        found["answer heard after"] = _spread_text(waits)
    return found


def _spread_text(values):
    """values: in order, in ms."""
    if len(values) == 1:
        return "%d ms" % values[0]
    name, high = "most", values[-1]
    if len(values) >= _ENOUGH_FOR_P95:
        name, high = "p95", values[int(0.95 * len(values))]
    return "median %d ms, %s %d ms" % (statistics.median(values), name, high)
