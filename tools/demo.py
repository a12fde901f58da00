"""`python -m tools demo`: three conversations between the real firmware and the emulated cloud, checked and summed up.

Each runs main.py in a process of its own, over verified TLS on loopback, with spoken WAV files as the microphone:
a push-to-talk question, a question in free talk, and a long answer that a press of the button interrupts. What the
loudspeaker played is compared with what the cloud sent, sample by sample. A page shows all three on their time lines.
"""

import argparse
import asyncio
import os
import time
from array import array

from rich import box
from rich.console import Console
from rich.table import Table

from tools import ROOT, ToolError, listen
from tools.cloud.server import CloudServer
from tools.sim import runner
from tools.timeline import live, page

_SPEECH = os.path.join(ROOT, "tests", "speech")
_TIMEOUT_S = 60
_TRIES = 5


class Scene:
    """One run of the speaker: settings, script, and how many answers of the cloud belong to it."""

    def __init__(self, name, about, settings, script, outcomes):
        self.name = name
        self.about = about
        self.settings = settings
        self.script = script
        self.outcomes = outcomes


SCENES = (
    Scene(
        "push-to-talk",
        "hold the button, ask, release; PCM 16 kHz both ways",
        {"mode": "ptt_hold", "uplink_codec": "pcm", "downlink_codec": "pcm"},
        "wait idle\npress\nsay weather.wav\nwait clip_end\nrelease\nwait turn\nsleep 200\nquit\n",
        ("answered",),
    ),
    Scene(
        "free talk",
        "click, speak, listen, click; the cloud hears the end of the question; G.711 A-law both ways",
        {"mode": "free", "uplink_codec": "g711a", "downlink_codec": "g711a"},
        "wait idle\ntap\nwait listening\nsleep 400\nsay bird.wav\nwait turn\ntap\nwait idle\nquit\n",
        ("answered",),
    ),
    Scene(
        "barge-in",
        "interrupt a long answer by asking the next question; G.711 µ-law down",
        {"mode": "ptt_hold", "uplink_codec": "pcm", "downlink_codec": "g711u"},
        "wait idle\npress\nsay story.wav\nwait clip_end\nrelease\nwait speaking\nsleep 2000\n"
        "press\nsay stop.wav\nwait clip_end\nrelease\nwait turn outcome=answered\nsleep 200\nquit\n",
        ("interrupted", "answered"),
    ),
)


def run_cli(argv):
    parser = argparse.ArgumentParser(
        prog="python -m tools demo",
        description="A push-to-talk turn, a free-talk turn and a barge-in between the real firmware and an emulated "
        "cloud, without hardware, account or network. Ends with 0 only when every sample was right.",
    )
    parser.add_argument(
        "--interpreter",
        choices=runner.INTERPRETERS,
        default="cpython",
        help="what runs the firmware (default: cpython; the others are fetched when missing)",
    )
    parser.add_argument(
        "--out", metavar="DIR", default="runs/demo", help="folder of the page and the WAV files (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    try:
        os.makedirs(args.out, exist_ok=True)
    except OSError as error:
        raise ToolError("cannot write to %s: %s; choose another folder with --out" % (args.out, error.strerror))
    return asyncio.run(_demo(args.interpreter, args.out, Console(highlight=False)))


async def _demo(interpreter, out, console):
    began_s = time.monotonic()
    faults = []
    rows = []
    lines = []
    async with CloudServer("demo", tls=True) as cloud:
        console.print("emulated cloud at %s, firmware on %s" % (cloud.url, interpreter))
        first_turn = 0
        for number, scene in enumerate(SCENES, 1):
            console.print("\n[bold]%d/%d %s[/bold] – %s" % (number, len(SCENES), scene.name, scene.about))
            result, wrong = await _play(scene, first_turn, cloud, interpreter, out, console)
            first_turn += len(scene.outcomes)
            faults += ["%s: %s" % (scene.name, fault) for fault in wrong]
            rows += [(scene, report) for report in result.of_kind("turn")]
            lines.append(live.from_run(result, "%s: %s" % (scene.name.capitalize(), scene.about)))
    report = _write_page(out, lines, faults, interpreter)
    _print_summary(console, rows, out, time.monotonic() - began_s)
    console.print("Look at %s: every moment of the three on one page" % report, soft_wrap=True)
    for fault in faults:
        console.print("[red]wrong:[/red] " + fault, soft_wrap=True)
    if not faults:
        console.print("[green]Every sample the cloud sent and the user did not interrupt was played, in order.[/green]")
    return 1 if faults else 0


async def _play(scene, first_turn, cloud, interpreter, out, console):
    """(Result, [what was wrong]). Played again when sound was lost while this computer let the speaker wait.

    first_turn: of the cloud's scenario, the one that answers the first question of this scene
    """
    base = os.path.join(out, scene.name.replace(" ", "-"))
    for tries_left in range(_TRIES - 1, -1, -1):
        answered = len(cloud.turns)
        cloud.cloud.go_on_at(first_turn)
        result = await runner.run(
            dict(scene.settings, volume_percent=100),  # 100 % leaves every sample as the cloud sent it
            cloud=cloud,
            interpreter=interpreter,
            script=scene.script,
            script_name=scene.name,
            clips_dir=_SPEECH,
            speaker=base + "-speaker.wav",
            mic_record=base + "-mic.wav",
            timeout_s=_TIMEOUT_S,
            is_witnessed=True,
            on_line=_Lines(console).show,
        )
        wrong = list(_faults(scene, result, cloud.turns[answered:], base))
        if not wrong or not result.longest_pause_ms:
            break
        busy = "this computer was too busy: it let the speaker wait for %d ms" % result.longest_pause_ms
        if tries_left:
            console.print("[yellow]once more:[/yellow] %s, and sound was lost" % busy, soft_wrap=True)
        else:
            wrong.append(busy)
    return result, wrong


def _write_page(out, lines, faults, interpreter):
    """Returns where the page lies."""
    path = os.path.join(out, "report.html")
    verdict = "Every sample was right." if not faults else "; ".join(faults)
    text = "The real firmware on %s and the emulated cloud over TLS, in three scenes. %s" % (interpreter, verdict)
    page.write(path, lines, {"title": "Pipit talks", "text": text, "figures": live.turn_figures(_turns(lines))})
    return path


def _turns(lines):
    return [turn for line in lines for turn in line.turns]


_MARKS = {
    "first\nframe": "first_frame_ms",
    "speech\nends": "release_ms",
    "all\nsent": "complete_ms",
    "first\ndelta": "first_delta_ms",
    "first\nsample": "first_sample_ms",
}

_STYLES = {"error": "red", "warning": "yellow", "heard": "cyan", "said": "green"}


class _Lines:
    """Shows what one run of the speaker tells, as it comes, with the seconds since its start."""

    def __init__(self, console):
        self._console = console
        self._start_ms = None

    def show(self, report):
        kind = report["kind"]
        if kind == "output":
            if report["text"].strip():
                self._console.print(report["text"], style="yellow", soft_wrap=True)
            return
        if self._start_ms is None:
            self._start_ms = report["t_ms"]
        stamp = "%7.2f s  " % ((report["t_ms"] - self._start_ms) / 1000)
        if kind == "state":
            self._console.print(stamp + report["state"], style="dim")
        elif kind == "heard" and report["final"] or kind in ("said", "error", "warning"):
            self._console.print(stamp + kind + ": " + report["text"], style=_STYLES[kind], soft_wrap=True)


def _faults(scene, result, turns, base):
    """What is wrong with this scene, in words; nothing when all is well."""
    if result.exit_code:
        yield result.why()
        return
    outcomes = tuple(report["outcome"] for report in result.of_kind("turn"))
    if outcomes != scene.outcomes:
        yield "the turns ended as %s, expected %s" % (", ".join(outcomes) or "nothing", ", ".join(scene.outcomes))
        return
    if result.of_kind("error"):
        yield "it reported an error: " + result.of_kind("error")[0]["text"]
    rate_hz, played = listen.read_wav(base + "-speaker.wav")
    begin = 0
    for turn, outcome in zip(turns, outcomes):
        sent = array("h", turn.pcm)
        heard = listen.find_answer(played, sent, begin)
        if heard is None:
            yield "“%s” was not played" % turn.said
            continue
        if heard.gap_count:
            yield "%d gaps inside “%s”" % (heard.gap_count, turn.said)
        if outcome == "answered" and len(heard.samples) != len(sent):
            yield "%d of %d samples of “%s” were played" % (len(heard.samples), len(sent), turn.said)
        if outcome == "interrupted":
            after = played[heard.end : heard.end + rate_hz]
            if any(after):
                yield "something was played after the interruption"
            if len(heard.samples) == len(sent):
                yield "the answer was not interrupted"
        begin = heard.end
    if any(played[begin:]):
        yield "something was played that no live answer holds"
    for turn in turns:
        if turn.utterance is not None and turn.utterance.wire_format.codec == "pcm":
            yield from _uplink_faults(turn, base)


def _uplink_faults(turn, base):
    """Every sample of the question stands in the microphone's record, without a gap."""
    _, room = listen.read_wav(base + "-mic.wav")
    spoken = array("h", (sample & ~3 for sample in room))  # 16 of the microphone's bits, 12 dB down and up again
    got = array("h", turn.utterance.pcm)
    heard = listen.find_answer(spoken, got)
    if heard is None or len(heard.samples) != len(got):
        yield "the question “%s” did not arrive as the microphone heard it" % turn.heard


def _print_summary(console, rows, out, seconds):
    table = Table(
        title="\nEach turn, in ms since the press (in free talk since the first word)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for header in ("scene", "outcome"):
        table.add_column(header, no_wrap=True)
    for header in _MARKS:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("gaps", justify="right")
    table.add_column("heap\nKB", justify="right")
    for scene, turn in rows:
        marks = [str(turn[name]) if turn[name] >= 0 else "–" for name in _MARKS.values()]
        heap = turn["heap_free_bytes"]
        heap_text = str(heap // 1024) if heap >= 0 else "–"
        table.add_row(scene.name, turn["outcome"], *marks, str(turn["underruns"]), heap_text)
    console.print(table)
    text = "Listen to %s/*-speaker.wav; what was said is in *-mic.wav (%.0f s altogether)" % (out, seconds)
    console.print(text, soft_wrap=True)
