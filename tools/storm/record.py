"""What a run leaves for a person: the time line of the report, and the figures of the summary."""

import numpy

from firmware import trace as tr
from firmware.compat import ticks_diff
from tools.storm.checks import Check
from tools.timeline import live
from tools.timeline.model import Envelope, Timeline

_SHOWN_EVENTS = 3000


class Record(Check):
    """Listens like a checker and never objects."""

    def __init__(self, run):
        super().__init__(run)
        self._mic = Envelope()
        self._speaker = Envelope()
        self.line = Timeline("seed %d, plan %s" % (run.job.seed, run.job.plan), run.job.seed, run.job.plan)
        self.line.ring["capacity_bytes"] = run.speaker.player.capacity
        self._ring_bytes = -1
        run.room.on_block = self._on_mic

    def _on_mic(self, at, block):
        self._mic.add(at // 16, int(numpy.abs(block).max()))

    def on_dac(self, first, rate_hz, samples):
        self._speaker.add(first * 1000 // rate_hz, int(numpy.abs(samples.astype(numpy.int32)).max()))

    def on_tick(self):
        used = self.run.speaker.player._ring.used
        if used != self._ring_bytes:
            self._ring_bytes = used
            self.line.ring["points"].append([self.run.clock.now_ms, used])

    def on_trace(self, code, arg):
        if code == tr.UNDERRUN:
            self.line.underruns.append([self.run.clock.now_ms - arg, arg])

    def on_report(self, report):
        now_ms = self.run.clock.now_ms
        kind = report["kind"]
        line = self.line
        if kind == "state":
            line.states.append([now_ms, report["state"]])
        elif kind == "turn":
            shown = dict(report)
            shown["t_ms"] = now_ms
            shown["began_ms"] = now_ms - ticks_diff(report["t_ms_device"], report["began_ms"])
            del shown["t_ms_device"]
            line.turns.append(shown)
        elif kind in ("heard", "said") and len(line.events) < _SHOWN_EVENTS:
            line.events.append([now_ms, "%s: %s" % ("you" if kind == "heard" else "pipit", report["text"])])
        elif kind in ("error", "warning") and len(line.events) < _SHOWN_EVENTS:
            line.events.append([now_ms, "%s: %s" % (kind, report["text"])])

    def timeline(self):
        """The finished Timeline."""
        run = self.run
        line = self.line
        line.command = run.job.command()
        line.end_ms = run.clock.now_ms
        line.mic = self._mic.track()
        line.speaker = self._speaker.track()
        line.button = run.person.button
        line.faults = run.faults_seen
        line.violations = [list(one) for one in run.violations]
        line.figures = live.turn_figures(line.turns)
        for name in _SHOWN_SETTINGS:
            line.figures[name] = str(run.settings[name])
        return line


_SHOWN_SETTINGS = ("board", "mode", "uplink_codec", "downlink_codec", "downlink_hz", "pacing_frames", "volume_percent")
