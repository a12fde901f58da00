"""The simulator by itself: a parrot (tests/sim_fake) runs in place of the speaker, on every interpreter."""

import asyncio
import json
import os
import struct
import sys
import time

import pytest

from tools import ROOT, ToolError, mpy
from tools.sim import runner
from tools.sim.simworld import script as world_script
from tools.sim.simworld import wav

PARROT = os.path.join(ROOT, "tests", "sim_fake", "main.py")
CONVERSATION = """
wait idle 5000
press
wait listening 2000
say count.wav
wait clip_end
sleep 60          # a descriptor of the microphone is 16 ms
release
wait heard final=true
wait turn is_cut=false 5000
"""


@pytest.fixture(params=runner.INTERPRETERS)
def interpreter(request):
    if request.param != "cpython":
        try:
            mpy.launcher(32 if request.param == "micropython32" else 64)
        except mpy.MissingMicroPython as error:
            if os.environ.get("ALLOW_NO_MPY") == "1":
                pytest.skip("NOT TESTED ON MICROPYTHON, because ALLOW_NO_MPY=1: %s" % error)
            pytest.fail(str(error), pytrace=False)
    return request.param


@pytest.fixture
def tree(tmp_path):
    """A firmware tree with the real libraries and a made-up board."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("firmware", "lib", "boot.py"):
        (root / name).symlink_to(os.path.join(ROOT, name))
    (root / "boards").symlink_to(os.path.join(ROOT, "tests", "sim_fake", "boards"))
    write_clip(tmp_path / "count.wav", range(4, 4 * 8001, 4))
    return tmp_path


def write_clip(path, values, rate_hz=16000):
    values = list(values)
    writer = wav.Writer(str(path), rate_hz)
    writer.write(struct.pack("<%dh" % len(values), *values))
    writer.close()


def read_samples(path):
    with open(path, "rb") as file:
        info = wav.read_info(file, str(path))
        file.seek(info.data_at)
        return list(struct.unpack("<%dh" % info.frames, file.read(2 * info.frames)))


def fly(tree, trick="", **options):
    options = {"timeout_s": 30, "clips_dir": str(tree), **options}
    config = {"board": "parrot", "device_id": trick}
    return runner.run_sync(config, app_root=str(tree / "tree"), main=PARROT, **options)


def test_what_is_said_while_the_button_is_held_is_played_again_whole(tree, interpreter):
    played, heard = str(tree / "played.wav"), str(tree / "heard.wav")
    result = fly(tree, interpreter=interpreter, script=CONVERSATION, speaker=played, mic_record=heard)
    assert result.exit_code == 0, result.why()
    assert result.states() == ["idle", "listening", "speaking", "idle"]
    assert result.of_kind("stop"), "the program met Ctrl-C and ended in order"
    samples = read_samples(played)
    first = samples.index(1)
    assert samples[first : first + 8000] == list(range(1, 8001)), "12 dB below what was said, nothing lost or doubled"
    assert result.speaker["spans"] == [[first, first + 8000]]
    said = read_samples(heard)
    at = said.index(4)
    assert said[at : at + 8000] == list(range(4, 4 * 8001, 4))
    assert result.speaker["wav"] == played
    # The two are read one after the other, and a busy machine may do something else in between.
    assert abs(len(samples) / 16 - result.run["ended_ms"]) < 20, "both records begin with the run and last as long"
    assert [what for _, what in result.run["actions"]] == ["press", "say count.wav", "release"]
    assert "tx_late" not in result.counts


def test_the_run_folder_with_its_secrets_is_gone_afterwards(tree):
    seen = []

    class Cloud:
        url = "ws://localhost:1/v1/chat"
        token = "very-secret"
        ca_der_folder = None

    def look(report):
        if not seen:
            seen.extend(name for name in os.listdir(os.environ.get("TMPDIR", "/tmp")) if name.startswith("pipit-sim-"))
            for name in seen:
                assert os.stat(os.path.join(os.environ.get("TMPDIR", "/tmp"), name)).st_mode & 0o77 == 0

    keep = tree / "kept"
    result = fly(tree, script="wait idle\n", cloud=Cloud, on_line=look, keep=str(keep))
    assert result.exit_code == 0, result.why()
    assert result.of_kind("boot")[0]["token_bytes"] == len(Cloud.token)
    assert seen
    assert not os.path.exists(os.path.dirname(result.command[-1]))
    assert sorted(os.listdir(keep)) == ["config.json", "run.json", "settings.json"]
    assert not any("very-secret" in (keep / name).read_text() for name in os.listdir(keep))


def test_chip_wakes_in_2000_and_counts_from_its_epoch(tree, interpreter):
    for epoch in (1970, 2000):
        result = fly(tree, interpreter=interpreter, script="wait idle\n", epoch=epoch)
        boot = result.of_kind("boot")[0]
        assert boot["year_zero"] == epoch, result.why()
        assert boot["unix_s"] == 946684800


def test_wifi_clock_and_a_pulled_cable(tree, interpreter):
    script = """
    wait warning text=connected
    wait warning text~clock
    wifi down
    wait warning text~lost
    wifi up
    wait warning text=found
    """
    result = fly(tree, "network", interpreter=interpreter, script=script)
    assert result.exit_code == 0, result.why()
    texts = [report["text"] for report in result.of_kind("warning")]
    assert abs(int(texts[1].split()[1]) - time.time()) < 60
    assert texts[2] == "lost 1001", "while the station tries again, the port hides the reason"


def test_ends_are_told_apart_and_leave_their_summary(tree, interpreter):
    for trick, code, words in (
        ("crash", 1, "the parrot is dead"),
        ("stop", 1, "exit code 2"),
        ("reset", 3, "machine.reset()"),
        ("starve", 3, "not fed for 50 ms"),
    ):
        result = fly(tree, trick, interpreter=interpreter, script="wait speaking 5000\n")
        assert result.exit_code == code, result.why()
        assert words in result.run["exit_text"] and words in result.stderr, result.why()


def test_a_crash_leaves_a_whole_speaker_file(tree, interpreter):
    played = str(tree / "played.wav")
    result = fly(tree, "starve", interpreter=interpreter, script="wait speaking\n", speaker=played)
    assert result.exit_code == 3
    assert len(read_samples(played)) == result.speaker["samples"] > 0


def test_a_wait_that_runs_out_fails_the_run(tree, interpreter):
    result = fly(tree, interpreter=interpreter, script="wait idle\n\nwait speaking 200\n", script_name="demo.txt")
    assert result.exit_code == 4
    for part in ("demo.txt, line 3", "200 ms", "speaking", "idle"):
        assert part in result.stderr, result.why()


def test_a_wrong_script_is_refused_before_anything_runs(tree):
    with pytest.raises(world_script.ScriptError, match="bad.txt, line 2.*hum"):
        fly(tree, script="press\nhum\n", script_name="bad.txt")


def test_a_state_that_does_not_exist_is_refused_by_the_chip(tree, interpreter):
    result = fly(tree, interpreter=interpreter, script="wait idling\n", script_name="bad.txt")
    assert result.exit_code == 2
    assert "bad.txt, line 1" in result.stderr and "listening" in result.stderr, result.why()


def test_what_cannot_be_heard_or_written_is_refused_before_anything_runs(tree):
    with pytest.raises(ToolError, match="no sound file"):
        fly(tree, script="say missing.wav\n")
    (tree / "text.wav").write_text("no sound at all")
    with pytest.raises(wav.WavError, match="not a WAV"):
        fly(tree, script="say text.wav\n")
    with pytest.raises(ToolError, match="cannot be written"):
        fly(tree, script="", speaker=str(tree / "nowhere" / "played.wav"))


def test_a_file_of_another_shape_is_converted(tree):
    write_clip(tree / "other.wav", [1000] * 4000, rate_hz=8000)
    script = "wait idle\nsay other.wav\nwait clip_end\nsleep 30\n"
    result = fly(tree, script=script, mic_record=str(tree / "heard.wav"))
    assert result.exit_code == 0, result.why()
    (first, end), = result.mic["spans"]
    assert abs(end - first - 8000) <= 40


def test_keyboard_lines_reach_the_speaker_and_mic_speaks_at_every_press(tree, interpreter):
    keyboard = runner.Keyboard()

    def on_line(report):
        if report.get("state") == "idle":
            keyboard.send("quit" if fly_count else "press")
        if report.get("state") == "listening":
            keyboard.send("wait clip_end\nsleep 40\nrelease")
        if report["kind"] == "turn":
            fly_count.append(1)

    fly_count = []
    result = fly(tree, interpreter=interpreter, keyboard=keyboard, mic=str(tree / "count.wav"), on_line=on_line)
    assert result.exit_code == 0, result.why()
    assert sum(end - first for first, end in result.speaker["spans"]) == 8000


def test_a_wrong_line_on_the_keyboard_is_told_and_harmless(tree, interpreter):
    keyboard = runner.Keyboard()
    for line in ("jump", "say nothing.wav", "volume up", "wait volume", "quit"):
        keyboard.send(line)
    result = fly(tree, interpreter=interpreter, keyboard=keyboard)
    assert result.exit_code == 0, result.why()
    texts = [report["text"] for report in result.of_kind("keyboard")]
    assert len(texts) == 2 and "jump" in texts[0] and "nothing.wav" in texts[1]
    assert result.of_kind("volume")


def test_time_is_up_ends_the_run_in_order_and_is_no_success(tree):
    played = str(tree / "played.wav")
    result = fly(tree, timeout_s=1, speaker=played)
    assert result.is_timed_out and result.exit_code == -1
    assert result.run["exit_reason"] == "quit"
    assert result.of_kind("stop")
    assert len(read_samples(played)) == result.speaker["samples"]


def test_who_swallows_ctrl_c_is_killed_and_leaves_a_readable_file(tree, monkeypatch):
    monkeypatch.setattr(runner, "STOP_GRACE_S", 0.3)
    played = str(tree / "played.wav")
    result = fly(tree, "hang", timeout_s=2, speaker=played)
    assert result.exit_code == -1 and result.run == {}
    read_samples(played)


def test_a_cancelled_run_leaves_no_child_behind(tree):
    pids = []

    async def main():
        config = {"board": "parrot"}
        options = {"app_root": str(tree / "tree"), "main": PARROT, "on_line": lambda report: started.set()}
        started = asyncio.Event()
        task = asyncio.create_task(runner.run(config, **options))
        await started.wait()
        pids.extend(_children())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pids and not set(pids) & set(_children())

    asyncio.run(main())


def _children():
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            with open("/proc/%s/cmdline" % name, "rb") as file:
                words = file.read().split(b"\0")
            with open("/proc/%s/stat" % name) as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == os.getpid() and any(word.endswith(b"device.py") for word in words):
            found.append(name)
    return found


def test_trace_is_written_whole(tree, interpreter):
    path = tree / "trace.txt"
    result = fly(tree, interpreter=interpreter, script=CONVERSATION, trace=str(path))
    assert result.exit_code == 0, result.why()
    (line,) = path.read_text().splitlines()
    assert line.split()[1:] == ["release", str(2 * int(result.of_kind("heard")[0]["text"].split()[0]))]


def test_interpreters_are_named_when_one_is_unknown():
    with pytest.raises(ToolError, match="cpython, micropython"):
        runner.command_for("jython")
    assert runner.command_for([sys.executable, "-I"]) == [sys.executable, "-I"]


def test_summary_is_json_that_shows_where_zero_is(tree):
    result = fly(tree, script="wait idle\npress\nwait listening\nrelease\nwait turn\n")
    json.dumps(result.run)
    pressed_ms = next(t_ms for t_ms, what in result.run["actions"] if what == "press")
    listening_ms = result.report_ms(next(r for r in result.reports if r.get("state") == "listening"))
    assert 0 <= listening_ms - pressed_ms <= 40
