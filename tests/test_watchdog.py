"""The whole speaker with a part that hangs: the watchdog bites, and the next start tells which part it was."""

import asyncio
import os

import pytest

from tools import mpy
from tools.cloud.server import CloudServer
from tools.sim import runner

INTERPRETERS = ("cpython", "micropython")
WATCHDOG_MS = 5000  # the least that the settings allow, so each case takes a little longer than that
WDT_RESET = 3

# A main.py of which one part stops when the person asks a question.
HANGING = {
    "player": """
import asyncio
from firmware.audio import player

class Player(player.Player):
    async def run(self):
        while not self.bytes_in:
            self.passes = self.passes + 1 & 0xFFFF
            await asyncio.sleep(0.01)
        await asyncio.Event().wait()

player.Player = Player
""",
    "recorder": """
import asyncio
from firmware.audio import recorder

class Recorder(recorder.Recorder):
    async def run(self):
        while self.frames < 20:
            self.passes = self.passes + 1 & 0xFFFF
            self.step()
            await asyncio.sleep(0.005)
        await asyncio.Event().wait()

recorder.Recorder = Recorder
""",
    "loop": """
from firmware.session import runner
import machine

class Runner(runner.Runner):
    def complete_sent(self):
        while True:
            machine.idle()

runner.Runner = Runner
""",
}
START = "from firmware import start\nexit_code = start.main()\n"
TALK = "wait idle\nsleep 1500\npress\nsleep 400\nrelease\nsleep 9000\nquit\n"


async def life(folder, cloud, interpreter, part):
    """(the run in which the part hangs, the next one on the same chip)"""
    main = os.path.join(folder, "main-%s.py" % part)
    with open(main, "w", encoding="utf-8") as file:
        file.write(HANGING[part] + START)
    options = {"cloud": cloud, "interpreter": interpreter, "timeout_s": 40}
    config = {"watchdog_ms": WATCHDOG_MS}
    bitten = await runner.run(config, script=TALK, main=main, **options)
    kept = {"rtc_memory": bitten.run.get("rtc_memory", ""), "reset_cause": WDT_RESET}
    after = await runner.run(config, script="wait postmortem\nwait idle\nquit\n", world=kept, **options)
    return bitten, after


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """{(interpreter, part): (bitten, after)}, all played at once."""
    folder = str(tmp_path_factory.mktemp("watchdog"))
    keys = [(interpreter, part) for interpreter in INTERPRETERS for part in HANGING]

    async def play():
        async with CloudServer("demo", tls=True) as cloud:
            found = await asyncio.gather(
                *(life(folder, cloud, *key) for key in keys), return_exceptions=True
            )
        return dict(zip(keys, found))

    return asyncio.run(play())


@pytest.mark.parametrize("part", HANGING)
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_a_part_that_hangs_is_reset_and_told_at_the_next_start(lives, interpreter, part):
    found = lives[interpreter, part]
    if isinstance(found, mpy.MissingMicroPython) and os.environ.get("ALLOW_NO_MPY") == "1":
        pytest.skip("NOT TESTED ON MICROPYTHON, because ALLOW_NO_MPY=1: %s" % found)
    if isinstance(found, Exception):
        raise found
    bitten, after = found
    assert bitten.exit_code == 3 and bitten.run["exit_reason"] == "watchdog", bitten.why()
    (line,) = after.of_kind("postmortem")
    assert line["cause"] == "watchdog" and line["stopped"] == [part], line
    assert line["state"] in ("idle", "speaking", "listening", "tail", "thinking") and line["lines"]
    assert after.exit_code == 0 and after.run["watchdog_ms"] > 10**8, "an orderly end leaves it at its longest"
    assert after.run["rtc_memory"] == ""


DYING = """
from firmware.audio import recorder

class Recorder(recorder.Recorder):
    def step(self):
        super().step()
        if self.frames >= 60:
            raise ValueError("a fault of ours")

recorder.Recorder = Recorder
"""


def test_a_part_that_dies_leaves_the_speaker_to_its_watchdog(tmp_path):
    main = tmp_path / "main.py"
    main.write_text(DYING + START)
    settings = {"tls_verify": False, "token": "t", "watchdog_ms": WATCHDOG_MS}
    died = runner.run_sync(settings, script="sleep 8000\nquit\n", main=str(main))
    assert died.exit_code == 1, died.why()
    assert "bug" in [report["error_kind"] for report in died.of_kind("error")]
    assert died.run["watchdog_ms"] == WATCHDOG_MS, "still armed"
    kept = {"rtc_memory": died.run["rtc_memory"], "reset_cause": WDT_RESET}
    after = runner.run_sync(settings, script="wait postmortem\nquit\n", world=kept)
    (line,) = after.of_kind("postmortem")
    assert line["is_dead"] and line["cause"] == "watchdog" and after.exit_code == 0, after.why()


def test_without_the_setting_there_is_no_watchdog():
    result = runner.run_sync({"tls_verify": False, "token": "t"}, script="sleep 100\nquit\n")
    assert result.run["watchdog_ms"] == 0, result.why()
