"""The second WebSocket adapter as a witness: a conversation over both gives the same events and sound."""

import asyncio
import os

import pytest

from tools import ROOT
from tools.cloud.server import CloudServer
from tools.sim import runner

TURN = "wait idle\npress\nsay bird.wav\nwait clip_end\nrelease\nwait turn\nwait idle\n"
CLIPS = os.path.join(ROOT, "tests", "speech")
SETTINGS = {"mode": "ptt_hold", "uplink_codec": "pcm", "downlink_codec": "pcm", "volume_percent": 100}


async def hold(websocket, script, settings=None, tls=True, scenario="demo", token=None):
    """(Result, the cloud) after the script."""
    async with CloudServer(scenario, tls=tls) as cloud:
        config = dict(SETTINGS, websocket=websocket, **(settings or {}))
        if token:
            config["token"] = token
        result = await runner.run(config, cloud=cloud, script=script, clips_dir=CLIPS, timeout_s=60)
        return result, cloud


def told(result):
    """What the speaker told, without times and counts that depend on the moment."""
    lines = []
    for report in result.reports:
        kind = report["kind"]
        if kind == "state":
            lines.append((kind, report["state"]))
        elif kind in ("heard", "said"):
            lines.append((kind, report["text"]))
        elif kind == "turn":
            lines.append((kind, report["outcome"], report["samples_played"]))
        elif kind == "error":
            lines.append((kind, report["error_kind"]))
    return lines


async def test_two_turns_give_the_same_events_and_the_same_sound_over_both():
    both = ("pipit", "aiohttp")
    seen = {}
    held = await asyncio.gather(*(hold(websocket, TURN * 2 + "quit\n") for websocket in both))
    for websocket, (result, cloud) in zip(both, held):
        assert result.exit_code == 0, result.why()
        seen[websocket] = told(result), [turn.pcm for turn in cloud.turns]
        assert len(cloud.turns) == 2
        for turn in cloud.turns:
            assert len(turn.utterance.pcm) > 16000  # half a second of the question arrived
    assert seen["pipit"] == seen["aiohttp"]


async def test_a_barge_in_over_aiohttp_cancels_and_asks_anew():
    script = TURN.replace("wait turn\nwait idle\n", "wait speaking\nsleep 300\n") + TURN[len("wait idle\n"):] + "quit\n"
    script = script.replace("wait turn\n", "wait turn outcome=answered\n")
    result, cloud = await hold("aiohttp", script)
    assert result.exit_code == 0, result.why()
    assert [report["outcome"] for report in result.of_kind("turn")] == ["interrupted", "answered"]
    assert not result.of_kind("error")


@pytest.mark.parametrize("websocket", ("pipit", "aiohttp"))
async def test_a_wrong_token_is_named_by_both(websocket):
    result, _ = await hold(websocket, "wait error 5000\nquit\n", tls=False, token="pat_wrong")
    assert result.exit_code == 0, result.why()
    error = result.of_kind("error")[0]
    assert error["error_kind"] == "token" and "401" in error["text"]
    assert "pat_wrong" not in str(result.reports)


@pytest.mark.parametrize("websocket", ("pipit", "aiohttp"))
async def test_a_cut_connection_is_made_again_by_both(websocket):
    async with CloudServer("demo") as cloud:
        keyboard = runner.Keyboard()
        idles = []

        def on_line(report):
            if report.get("state") == "idle":
                idles.append(report)
                if len(idles) == 1:
                    asyncio.ensure_future(cloud.drop_connections())
                else:
                    keyboard.send("quit")

        config = dict(SETTINGS, websocket=websocket)
        result = await runner.run(config, cloud=cloud, keyboard=keyboard, on_line=on_line, timeout_s=30)
    assert result.exit_code == 0, result.why()
    assert [report["error_kind"] for report in result.of_kind("error")] == ["connect"]
    assert len(cloud.connections) == 2
