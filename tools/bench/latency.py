"""How long the speaker itself makes a person wait: many short turns in the simulator, read off its trace and records.

The cloud, TLS and sockets are real and on loopback; the board is the simulated one with its DMA. Times are differences
within the speaker's own process, so the emulated cloud's thinking time is in none of them.
"""

import asyncio
import contextlib
import os
import statistics
import tempfile

from firmware import events
from tools import ToolError
from tools.cloud.server import CloudServer
from tools.sim import runner

PREBUFFER_MS = 120
_ANSWER_MS = 300
_LONG_ANSWER_MS = 5000
_HOLD_MS = 350
_WRAP_MS = 1 << 30


def scenario(answer_ms):
    return {
        "name": "bench", "recognise_ms": 20, "created_ms": 10,
        "synthesis_speed": 1.5,  # so that an answer is longer under way than the prebuffer waits
        "turns": [{"heard": "a question", "first_audio_ms": 60,
                   "answer": [{"text": "An answer.", "audio": {"signal": "noise", "ms": answer_ms}}]}],
    }  # fmt: skip


class Sample:
    """The times of one kind, in ms."""

    def __init__(self, name, values, target_ms=None):
        if not values:
            raise ToolError("nothing was measured for “%s”" % name)
        self.name = name
        self.count = len(values)
        self.median_ms = statistics.median(values)
        self.p95_ms = sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]
        self.target_ms = target_ms


class Run:
    """What a run of the simulator left: trace entries and records on one time line, ms since the world began."""

    def __init__(self, result, trace_path):
        if result.exit_code:
            raise ToolError("the simulated speaker failed: " + result.why())
        zero_ms = result.run["t_ms_start"]
        self.entries = []
        with open(trace_path, encoding="utf-8") as file:
            for line in file:
                t_ms, name, arg = line.split()
                self.entries.append(((int(t_ms) - zero_ms) % _WRAP_MS, name, int(arg)))
        self.presses = [t_ms for t_ms, what in result.run["actions"] if what == "press"]
        rate_hz = result.speaker["rate_hz"] or 1
        self.sounds = [(a * 1000 / rate_hz, b * 1000 / rate_hz) for a, b in result.speaker["spans"]]

    def times(self, name, arg=None):
        return [t_ms for t_ms, what, value in self.entries if what == name and (arg is None or value == arg)]


def pairs(starts, ends):
    """end - start for each start and the first end behind it, if it comes before the next start."""
    found = []
    for i, start in enumerate(starts):
        limit = starts[i + 1] if i + 1 < len(starts) else float("inf")
        after = [end for end in ends if start <= end < limit]
        if after:
            found.append(after[0] - start)
    return found


async def measure(interpreter, turns=32):
    """[Sample, ...]"""
    samples = []
    script = "wait idle\n" + "press\nsleep %d\nrelease\nwait turn\nwait idle\n" % _HOLD_MS * turns + "quit\n"
    run = await _run(interpreter, script, _ANSWER_MS)
    ended = run.times("event", events.TABLE_EVENTS.index(events.UTTERANCE_END))
    first_deltas = run.times("first_delta")
    samples.append(Sample("press → first frame handed to TLS", pairs(run.presses, run.times("first_frame"))))
    samples.append(Sample("end of tail → last byte of complete", pairs(ended, run.times("complete")), 30))
    to_dma = [ms - PREBUFFER_MS for ms in pairs(first_deltas, run.times("first_sample"))]
    samples.append(Sample("first delta → first sample in the DMA, less prebuffer", to_dma, 20))
    heard = [ms - PREBUFFER_MS for ms in pairs(first_deltas, [start for start, _ in run.sounds])]
    samples.append(Sample("first delta → first sample leaves the DAC, less prebuffer", heard))

    script = "wait idle\n" + "press\nsleep %d\nrelease\nwait speaking\nsleep 300\n" % _HOLD_MS * (turns + 1) + "quit\n"
    run = await _run(interpreter, script, _LONG_ANSWER_MS)
    samples.append(Sample("barge-in: press → last sample", silences(run.presses[1:], run.sounds), 20))

    downs, ups = await _reconnects(interpreter, turns)
    samples.append(Sample("connection lost → accepted again", pairs(downs, ups), 1000))
    return samples


def silences(presses, sounds):
    """How long each sound that played at a press went on after it."""
    found = []
    for press in presses:
        ends = [end for start, end in sounds if start < press < end + 1000]
        if ends:
            found.append(max(0, ends[-1] - press))
    return found


async def _run(interpreter, script, answer_ms):
    with tempfile.TemporaryDirectory(prefix="pipit-bench-") as folder:
        trace = os.path.join(folder, "trace.txt")
        async with CloudServer(scenario(answer_ms), tls=True, keeps_audio=False) as cloud:
            result = await runner.run(
                {"mode": "ptt_hold", "prebuffer_ms": PREBUFFER_MS, "pacing_frames": 0, "answer_max_s": 10}, cloud=cloud,
                interpreter=interpreter, script=script, trace=trace, world={"noise_peak": 1000}, timeout_s=150,
            )  # fmt: skip
        return Run(result, trace)


async def _reconnects(interpreter, count):
    """(times of loss, times of being accepted again): the cloud cuts the stream as soon as the speaker is idle."""
    with tempfile.TemporaryDirectory(prefix="pipit-bench-") as folder:
        trace = os.path.join(folder, "trace.txt")
        keyboard = runner.Keyboard()
        cuts = []
        async with CloudServer(scenario(_ANSWER_MS), tls=True, keeps_audio=False) as cloud:

            def on_line(report):
                if report.get("kind") == "state" and report["state"] == "idle":
                    if len(cuts) == count:
                        keyboard.send("quit")
                    else:
                        cuts.append(asyncio.ensure_future(_cut(cloud)))

            result = await runner.run(
                {"mode": "ptt_hold"}, cloud=cloud, interpreter=interpreter, keyboard=keyboard, trace=trace,
                on_line=on_line, timeout_s=120,
            )  # fmt: skip
            for cut in cuts:
                with contextlib.suppress(Exception):
                    await cut
        run = Run(result, trace)
        return run.times("link_down"), run.times("link_up")


async def _cut(cloud):
    await asyncio.sleep(0.05)
    await cloud.drop_connections()
