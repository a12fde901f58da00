"""`sim --report`: the page of a live run says what the run's own records and reports say."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time

import pytest

from tools import ROOT, ToolError, mpy
from tools.sim import cli, runner
from tools.sim.simworld import wav
from tools.timeline import live

PARROT = os.path.join(ROOT, "tests", "sim_fake", "main.py")
SPEECH = os.path.join(ROOT, "tests", "speech")
AWHILE_MS = 500  # the clocks are the same; a busy machine may be late
PARROT_SCRIPT = """
wait idle 5000
press
wait listening 2000
say count.wav
wait clip_end
sleep 60
release
wait turn is_cut=false 5000
wifi down
sleep 60
wifi up
ntp down
sleep 30
"""
SHORT_ANSWER = {
    "name": "short",
    "turns": [{
        "heard": "Short?", "first_audio_ms": 300,
        "answer": [{"text": "Very <b>short</b>.", "audio": {"signal": "chirp", "ms": 700}}],
    }],
}  # fmt: skip
QUESTION = "wait idle\npress\nsay stop.wav\nsleep 700\nrelease\nwait turn outcome=answered\nsleep 100\nquit\n"


@pytest.fixture
def tree(tmp_path):
    """A firmware tree with the real libraries and a made-up board."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("firmware", "lib", "boot.py"):
        (root / name).symlink_to(os.path.join(ROOT, name))
    (root / "boards").symlink_to(os.path.join(ROOT, "tests", "sim_fake", "boards"))
    values = [(n * 37) % 30_000 - 15_000 for n in range(8000)]
    writer = wav.Writer(str(tmp_path / "count.wav"), 16000)
    writer.write(struct.pack("<8000h", *values))
    writer.close()
    return tmp_path


def data_levels(track):
    text = re.sub(r"(.)~([0-9a-f]+)\.", lambda run: run.group(1) * int(run.group(2), 16), track["q"])
    assert track["step"] == 20
    return ["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(c) for c in text]


def peaks_of(path, step_ms=20):
    with open(path, "rb") as file:
        info = wav.read_info(file, str(path))
        file.seek(info.data_at)
        samples = struct.unpack("<%dh" % info.frames, file.read(2 * info.frames))
    n = info.rate_hz * step_ms // 1000
    return [min(32767, max(abs(sample) for sample in samples[at : at + n])) for at in range(0, len(samples), n)]


def without_end(peaks):
    while peaks and not peaks[-1]:
        peaks = peaks[:-1]
    return peaks


@pytest.mark.parametrize("interpreter", runner.INTERPRETERS)
def test_envelopes_button_states_and_faults_are_those_of_the_run(tree, interpreter):
    if interpreter != "cpython":
        mpy.launcher(32 if interpreter == "micropython32" else 64)
    played, heard = str(tree / "played.wav"), str(tree / "heard.wav")
    result = runner.run_sync(
        {"board": "parrot"}, app_root=str(tree / "tree"), main=PARROT, interpreter=interpreter, script=PARROT_SCRIPT,
        clips_dir=str(tree), speaker=played, mic_record=heard, is_witnessed=True, timeout_s=30,
    )  # fmt: skip
    assert result.exit_code == 0, result.why()
    line = live.from_run(result, "the parrot", "again")
    assert line.mic["peaks"] == without_end(peaks_of(heard)) and max(line.mic["peaks"]) > 14_000
    assert line.speaker["peaks"] == without_end(peaks_of(played)) and max(line.speaker["peaks"]) > 3000
    edges = {what: t_ms for t_ms, what in result.run["actions"]}
    assert [is_down for _, is_down in line.button] == [True, False]
    for (t_ms, _), what in zip(line.button, ("press", "release"), strict=True):
        assert t_ms == edges[what]
    assert [name for _, name in line.states] == result.states()
    begin, end, name, _ = line.faults[0]
    assert name == "wifi" and 60 <= end - begin < 200
    assert line.faults[1][1:3] == [line.end_ms, "ntp"]
    assert 0 <= line.end_ms - result.run["ended_ms"] < 1000, "its last words come a little later than its last sound"
    assert [text for _, text in line.events if text.startswith("you:")] == [
        "you: " + result.of_kind("heard")[0]["text"]
    ]
    times = [t_ms for t_ms, _ in line.events]
    assert times == sorted(times) and 0 <= times[0] and times[-1] <= line.end_ms


def test_a_run_that_is_not_witnessed_pays_nothing(tree):
    result = runner.run_sync({"board": "parrot"}, app_root=str(tree / "tree"), main=PARROT, script="wait idle\n")
    assert result.witness == ""


def test_report_of_a_question_tells_what_the_speaker_reported(tmp_path):
    script, report, scenario = tmp_path / "talk.txt", tmp_path / "run.html", tmp_path / "short.json"
    script.write_text(QUESTION)
    scenario.write_text(json.dumps(SHORT_ANSWER))
    (tmp_path / "stop.wav").symlink_to(os.path.join(SPEECH, "stop.wav"))
    words = ["sim", "--script", str(script), "--scenario", str(scenario), "--report", str(report), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tools", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reports = [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]
    run = reports[-1]
    (turn,) = [one for one in reports if one["kind"] == "turn"]
    text = report.read_text()
    (data,) = json.loads(re.search(r"id=data>(.*?)</script>", text, re.S).group(1))
    (row,) = data["turns"]["rows"]
    shown = dict(zip(data["turns"]["keys"], row))
    assert {key: shown[key] for key in shown if key not in ("t_ms", "began_ms")} == {
        key: turn[key] for key in turn if key not in ("kind", "t_ms", "began_ms")
    }
    assert shown["began_ms"] == turn["began_ms"] - run["t_ms_start"] & 0x3FFFFFFF
    pressed_ms = next(t_ms for t_ms, what in run["actions"] if what == "press")
    assert 0 <= shown["began_ms"] - pressed_ms < AWHILE_MS
    assert data["button"][0] == [pressed_ms, 1]
    fill = [n for _, n in data["ring"]["points"]]
    assert 0 < max(fill) <= data["ring"]["capacity"] and fill[-1] == 0
    full_ms = next(t_ms for t_ms, n in data["ring"]["points"] if n)
    first_delta_ms = shown["began_ms"] + shown["first_delta_ms"]
    assert -20 <= full_ms - first_delta_ms < AWHILE_MS
    sound_ms = 1000 * run["speaker"]["spans"][0][0] // run["speaker"]["rate_hz"]
    assert abs(sound_ms - shown["began_ms"] - shown["first_sample_ms"]) < AWHILE_MS
    loud = [at for at, level in enumerate(without_end(data_levels(data["speaker"]))) if level]
    assert abs(20 * loud[0] - sound_ms) <= 20 and 600 < 20 * (loud[-1] - loud[0]) < 800
    assert len(data["underruns"]) == turn["underruns"]
    said = [one["text"] for one in reports if one["kind"] == "said"]
    assert said == ["Very <b>short</b>."] and "pipit: " + said[0] in data["events"]["names"]
    assert "<b>short" not in text
    assert "python -m tools sim --script" in text and "1 answered" in text


def parrot_cli(tree, *options):
    code = (
        "import sys; sys.path.insert(0, %r)\nfrom tools.sim import cli, runner\nreal = runner.run\n"
        "def run(config, **options):\n"
        "    return real(dict(config, board='parrot'), **dict(options, app_root=%r, main=%r))\n"
        "runner.run = run\nsys.exit(cli.run_cli(sys.argv[1:]))\n" % (ROOT, str(tree / "tree"), PARROT)
    )
    url = "ws://user:secret@localhost:1/v1/chat?key=secret"
    cloud = ("--cloud", url, "--bot-id", "1", "--token-env", "PARROT_TOKEN")
    return subprocess.Popen(
        [sys.executable, "-c", code, *cloud, *options], env=dict(os.environ, PARROT_TOKEN="very-secret"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_a_run_that_fails_leaves_its_page_without_a_secret(tree):
    script, report = tree / "talk.txt", tree / "run.html"
    script.write_text("wait idle\nwait speaking 200\n")
    process = parrot_cli(tree, "--script", str(script), "--report", str(report))
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1, output
    text = report.read_text()
    assert "waited 200 ms for speaking" in text and "error: the run failed" in text
    assert "ws://localhost:1/v1/chat" in text and "secret" not in text


def test_ctrl_c_leaves_the_page_too(tree):
    report = tree / "run.html"
    process = parrot_cli(tree, "--report", str(report), "--json")
    for line in process.stdout:
        if '"idle"' in line:
            break
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    (data,) = json.loads(re.search(r"id=data>(.*?)</script>", report.read_text(), re.S).group(1))
    assert data["states"]["names"] == ["idle"] and data["end"] > 0


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    began_s = time.monotonic()
    with pytest.raises(ToolError, match="cannot be written"):
        cli.run_cli(["--report", str(tmp_path / "nowhere" / "run.html")])
    assert time.monotonic() - began_s < 2


def test_a_killed_run_leaves_what_was_written_so_far():
    result = runner.Result()
    result.witness = "zero 500\nring 1000\na 40 press\ne 740 underrun 30\ns 60 12345\nr 80 7"
    result.reports = [{"kind": "state", "state": "idle", "t_ms": 510}]
    line = live.from_run(result, "cut off")
    assert line.button == [[40, True]] and line.states == [[10, "idle"]]
    assert line.underruns == [[210, 30]]
    assert line.speaker["peaks"] == [0, 0, 0, 12345] and line.ring == {"capacity_bytes": 1000, "points": [[80, 7]]}
    assert line.end_ms == 80 and line.events[-1] == [80, "error: the run failed, exit code -1"]
