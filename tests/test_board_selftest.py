"""The self-test in the simulator: whole hardware passes every check, each kind of broken hardware fails the right one."""

import asyncio
import json
import math
import os
import sys
import types

import numpy
import pytest

from tools import ToolError
from tools.board import selftest

# What is broken -> the check that must find it, and words of the sentence that a person then reads.
FINDS = {
    "stuck_pin": ("pins", "GPIO 15"),
    "little_memory": ("memory", "PSRAM"),
    "dead_led": ("led", "GPIO 48"),
    "dead_button": ("button", "not seen"),
    "silent_mic": ("microphone", "SD wire"),
    "stuck_mic": ("microphone", "constant of"),
    "loud_mic": ("microphone", "noise floor"),
    "dead_mic": ("microphone", "no samples"),
    "dead_speaker": ("beep", "amplifier"),
    "no_echo": ("loop", "0 of 5 tones"),
    "blocking_i2s": ("i2s", "blocks"),
    "fast_clock": ("clocks", "instead of 16000"),
    "slow_stop": ("stop", "a stop took"),
    "slow_processor": ("frames", "native code"),
    "slow_collector": ("collector", "a collection takes"),
    "empty_air": ("scan", "antenna"),
    "far_away": ("scan", "-84 dBm"),
    "wrong_password": ("wifi", "password"),
    "no_time": ("clock", "UDP port 123"),
    "no_roots": ("tls", "tls_roots"),
    "wrong_token": ("agent", "token"),
}
NEEDS = {"clock": ("wifi",), "tls": ("wifi", "clock"), "agent": ("wifi", "clock")}  # what must run before
WHOLE = ("cpython", "micropython", "micropython32")
AT_ONCE = 8


@pytest.fixture(scope="module")
def reports():
    """{what is broken, or the interpreter that runs on whole hardware: its report}, all run side by side."""

    async def run_all():
        gate = asyncio.Semaphore(AT_ONCE)

        async def run(only, breaks, interpreter):
            async with gate:
                return await selftest.test_simulated(only, breaks, False, interpreter, lambda report: None)

        jobs = {name: run(None, [], name) for name in WHOLE}
        for name, (check, _) in FINDS.items():
            jobs[name] = run(NEEDS.get(check, ()) + (check,), [name], "micropython")
        return dict(zip(jobs, await asyncio.gather(*jobs.values()), strict=True))

    return asyncio.run(run_all())


def verdicts(report):
    return {result["name"]: result["verdict"] for result in report["results"]}


@pytest.mark.parametrize("interpreter", WHOLE)
def test_whole_hardware_passes_every_check(reports, interpreter):
    report = reports[interpreter]
    found = verdicts(report)
    assert list(found) == list(selftest.known_checks()), "every check, in order"
    if interpreter == "cpython":
        assert found.pop("memory") == "SKIP"  # it has no fixed heap
    assert set(found.values()) == {"PASS"}, [r for r in report["results"] if r["verdict"] != "PASS"]
    assert report["is_whole"] and report["failed"] == 0
    figures = {result["name"]: result["figures"] for result in report["results"]}
    assert abs(figures["clocks"]["mic_hz"] - 16_000) < 240
    assert figures["loop"]["snr_db_at_1000_hz"] > 30
    assert figures["i2s"]["longest_write_ms"] <= 3
    assert figures["frames"]["cpu_mhz"] == 240 and figures["tls"]["longest_standstill_ms"] >= 0
    assert ("handshake_stack_bytes" in figures["tls"]) == (interpreter != "cpython")
    assert "token" not in json.dumps(report)


@pytest.mark.parametrize("broken", FINDS)
def test_broken_hardware_is_found_by_its_check(reports, broken):
    check, words = FINDS[broken]
    result = reports[broken]["results"][-1]
    assert (result["name"], result["verdict"]) == (check, "FAIL"), result
    assert words in result["text"]
    assert reports[broken]["failed"] == 1, "and by no other that ran"


def test_every_check_can_fail_and_every_break_is_tried():
    assert {check for check, _ in FINDS.values()} == set(selftest.known_checks())
    assert set(FINDS) == set(selftest.known_breaks())


def test_without_a_person_the_questions_are_skipped():
    only = ("led", "button", "beep")
    report = asyncio.run(selftest.test_simulated(only, [], True, "cpython", lambda report: None))
    assert set(verdicts(report).values()) == {"SKIP"} and report["passed"] == 0


def test_ulab_hears_the_same_as_goertzel(monkeypatch):
    from firmware.selftest import sound

    samples = [int(5000 * math.sin(2 * math.pi * 1000 * i / 16_000)) for i in range(2048)]
    plain = sound.amplitude(samples, 1000, 16_000)
    ulab = types.ModuleType("ulab")
    ulab.numpy, ulab.__version__ = numpy, "numpy in its place"
    monkeypatch.setitem(sys.modules, "ulab", ulab)
    assert sound._spectrum_source().startswith("ulab")
    assert abs(sound.amplitude(samples, 1000, 16_000) - plain) < 0.01


def test_lines_are_put_together_from_any_pieces():
    seen = []
    lines = selftest.Lines(seen.append)
    text = b'boot noise\r\n{"kind": "check", "name": "pins"}\r\n{"kind": "selftest", "passed": 1}\r\n'
    for i in range(len(text)):
        lines.feed(text[i : i + 1])
    assert [report["kind"] for report in seen] == ["output", "check", "selftest"]
    assert lines.report["passed"] == 1


def test_a_board_without_the_application_is_told_what_to_do():
    with pytest.raises(selftest.ToolError, match="deploy"):
        selftest.whole_report(None)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--sim", "--only", "microphon"], "no check named microphon"),
        (["--sim", "--break", "everything"], "no way to break named everything"),
        (["--break", "no_time"], "add --sim"),
    ],
)
def test_a_wrong_command_line_is_told(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        selftest.run_cli(arguments)
    assert ended.value.code == 2 and words in capsys.readouterr().err


@pytest.mark.parametrize("place", ("", "no/such/report.json"))
def test_a_report_that_cannot_be_written_is_told_before_the_test(tmp_path, monkeypatch, place):
    monkeypatch.setattr(selftest, "test_simulated", None)
    with pytest.raises(ToolError, match="cannot be written"):
        selftest.run_cli(["--sim", "--report", str(tmp_path / place)])
    selftest._check_writable(str(tmp_path / "report.json"))
    assert os.listdir(tmp_path) == [], "looking leaves nothing behind"
