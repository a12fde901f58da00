"""`provision` against a scripted speaker on a pty: what is asked and checked, what arrives, what is never shown."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import rich.prompt
import trustme
from speaker_peer import SpeakerPeer
from test_board_roots import served_by, server
from wire import to_der

from firmware import config
from tools import ROOT, ToolError
from tools.board import follow, provision, roots, way_in

TOKEN = "pat_never-to-be-shown-3f81"
PASSWORD = "also never shown 77"
WHOLE = {"wifi_ssid": "Nest", "wifi_password": PASSWORD, "bot_id": "7400000000000000001", "token": TOKEN}


class Person:
    """Answers what provision asks: `answers` in order, secrets and others alike. Ctrl-C is KeyboardInterrupt."""

    def __init__(self, monkeypatch, *answers):
        self.answers = list(answers)
        self.asked = []
        monkeypatch.setattr(sys, "stdin", self)
        monkeypatch.setattr(provision.getpass, "getpass", self.answer)
        monkeypatch.setattr("builtins.input", self.answer)
        monkeypatch.setattr(rich.prompt.PromptBase, "get_input", lambda *args, **_: self.answer(args[2]))

    def isatty(self):
        return True

    def answer(self, prompt=""):
        self.asked.append(str(prompt))
        answer = self.answers.pop(0)
        if answer in (KeyboardInterrupt, EOFError):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(follow, "_STATUS_EVERY_S", 0.1)
    monkeypatch.setattr(follow, "_STATUS_WAIT_S", 0.3)


@pytest.fixture
def nobody(monkeypatch):
    """No terminal to ask at."""

    class Pipe:
        def isatty(self):
            return False

    monkeypatch.setattr(sys, "stdin", Pipe())


def run(peer, *arguments):
    return provision.run_cli(["--port", peer.port, "--no-roots", *arguments])


# -- from the command line


def test_settings_given_as_flags_arrive_and_the_speaker_comes_online(nobody, monkeypatch, capfd):
    monkeypatch.setenv("MY_TOKEN", TOKEN + "\n")
    monkeypatch.setenv("MY_WIFI", PASSWORD)
    with SpeakerPeer() as peer:
        words = ["--wifi-name", "Nest", "--wifi-password-env", "MY_WIFI", "--bot-id", WHOLE["bot_id"]]
        words += ["--token-env", "MY_TOKEN", "--volume", "40", "--mode", "free", "--board", "elatoai_diy"]
        assert run(peer, *words, "--set", "tail_ms=200", "--set", 'asr_hot_words=["pipit"]') == 0
    wanted = {"volume_percent": 40, "mode": "free", "board": "elatoai_diy", "tail_ms": 200, "asr_hot_words": ["pipit"]}
    assert peer.config == dict(WHOLE, **wanted)
    assert [command.get("dry") for command in peer.did("set")] == [True, False], "judged before it is written"
    assert peer.restarts == 1
    out, err = capfd.readouterr()
    assert "online: Wi-Fi home, 192.168.1.9, -60 dBm" in out
    assert TOKEN not in out + err and PASSWORD not in out + err


def test_a_speaker_that_waits_for_its_settings_starts_by_itself(nobody, tmp_path):
    path = tmp_path / "speaker.json"
    path.write_text(json.dumps(WHOLE))
    with SpeakerPeer() as peer:
        peer.status["state"] = "unprovisioned"
        honest = peer._do_set

        def set_and_start(command):
            reply = honest(command)
            if not command["dry"]:
                peer.status["state"] = "idle"
            return reply

        peer._do_set = set_and_start
        peer._do_config = lambda command: {"config": {"bot_id": "", "token": ""}, "missing": ["bot_id", "token"]}
        assert run(peer, "--from", str(path)) == 0
        assert peer.config == WHOLE and peer.restarts == 0


def test_only_what_differs_is_written(nobody):
    with SpeakerPeer(dict(WHOLE, volume_percent=40)) as peer:
        assert run(peer, "--volume", "40") == 0
        assert peer.did("set") == [] and peer.restarts == 0
        assert run(peer, "--volume", "50", "--no-restart") == 0
        assert [command["values"] for command in peer.did("set")] == [{"volume_percent": 50}] * 2
        assert peer.restarts == 0


def test_a_file_of_settings(nobody, tmp_path):
    path = tmp_path / "speaker.json"
    path.write_text(json.dumps(dict(WHOLE, tail_ms=150)), encoding="utf-8-sig")
    with SpeakerPeer() as peer:
        assert run(peer, "--from", str(path), "--volume", "33") == 0
    assert peer.config == dict(WHOLE, tail_ms=150, volume_percent=33)


def test_what_is_pasted_with_a_token_is_left_out(nobody, tmp_path, capfd):
    path = tmp_path / "token"
    path.write_text("Bearer %s\n" % TOKEN)
    with SpeakerPeer(WHOLE) as peer:
        peer.config["token"] = "old"
        assert run(peer, "--token-file", str(path)) == 0
    assert peer.config["token"] == TOKEN
    assert "the word Bearer" in capfd.readouterr().out


@pytest.mark.parametrize(
    "words, text",
    (
        (["--volume", "900"], "volume_percent: 900 is not allowed"),
        (["--board", "esp32_box"], 'board: "esp32_box" is unknown'),
        (["--set", "tail_m=5"], "there is no setting tail_m; did you mean tail_ms"),
        (["--set", "xyzzy=5"], "there is no setting xyzzy; `python -m tools config keys`"),
        (["--set", "tail_ms=soon"], "--set tail_ms: soon is not what JSON calls a value"),
        (["--set", "tail_ms=[1]"], r"tail_ms: \[1\] is not allowed"),
        (["--set", "ring_bytes=2048"], "ring_bytes: an answer of answer_max_s"),
        (["--token-env", "NO_SUCH_VARIABLE"], "the environment variable NO_SUCH_VARIABLE is empty or not there"),
        (["--wifi-name", "Other"], "wifi_password is missing, and there is no terminal.*--wifi-password-env"),
        ([], "nothing to set; give settings on the command line, or run this in a terminal"),
    ),
)
def test_what_is_wrong_is_refused_before_anything_is_sent(nobody, words, text):
    with SpeakerPeer(WHOLE) as peer:
        with pytest.raises(ToolError, match=text):
            run(peer, *words)
        assert peer.did("set") == [] and peer.restarts == 0 and peer.config == WHOLE


def test_a_speaker_without_an_agent_cannot_be_half_provisioned(nobody):
    with SpeakerPeer() as peer:
        peer._do_config = lambda command: {"ok": False, "error_kind": "config", "text": "bot_id: is missing"}
        with pytest.raises(ToolError, match="bot_id is missing, and there is no terminal.*--bot-id"):
            run(peer, "--volume", "10")


@pytest.mark.parametrize(
    "words",
    (
        ["--set", "token=" + TOKEN],
        ["--set", "wifi_password=" + TOKEN],
        ["--token", TOKEN],
        ["--token=" + TOKEN],
        ["--wifi-password", TOKEN],
    ),
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(words, capfd):
    with pytest.raises(SystemExit) as caught:
        provision.run_cli(["--port", "/dev/null"] + words)
    assert caught.value.code == 2
    out, err = capfd.readouterr()
    assert "history" in err and TOKEN not in out + err


@pytest.mark.parametrize(
    "words",
    (
        ["--show", "--reset"], ["--show", "--volume", "9"], ["--reset", "--set", "tail_ms=9"],
        ["--show", "--renew-roots"], ["--no-roots", "--renew-roots"], ["--no-roots", "--root", "ca.pem"],
    ),
)  # fmt: skip
def test_words_of_which_one_would_undo_the_other_are_refused(words, capfd):
    with pytest.raises(SystemExit) as caught:
        provision.run_cli(["--port", "/dev/null", *words])
    assert caught.value.code == 2 and re.search("contradict|stand alone", capfd.readouterr().err)


def test_files_that_are_no_settings(nobody, tmp_path):
    path = tmp_path / "speaker.json"
    cases = (
        (b"{", "is not JSON: line 1"), (b"[]", "must hold one JSON object"), (b'{"tokn": 1}', "did you mean token"),
        (b"\xff\xfe{}", "not UTF-8"), (b"[" * 9000, "is not JSON: line 1, column"),
        (b" " * 20_000, "is longer than 16384 bytes"), (b'{"token": "a", "token": "b"}', "twice"),
    )  # fmt: skip
    for text, words in cases:
        path.write_bytes(text)
        with SpeakerPeer(WHOLE) as peer, pytest.raises(ToolError, match=words):
            run(peer, "--from", str(path))


def test_files_that_hold_no_token(nobody, tmp_path):
    path = tmp_path / "token"
    cases = ((b"\xff\xfea", "holds no token"), (b" \n", "holds no token"), (b"a" * 5000, "cannot be a token"))
    for data, words in cases:
        path.write_bytes(data)
        with SpeakerPeer(WHOLE) as peer, pytest.raises(ToolError, match=words):
            run(peer, "--token-file", str(path))


def test_a_value_that_is_nested_too_deep_is_told(nobody):
    with SpeakerPeer(WHOLE) as peer, pytest.raises(ToolError, match="--set parameters: .* is not what JSON calls"):
        run(peer, "--set", "parameters=" + "[" * 9000)


def test_settings_that_the_speaker_refuses_leave_its_roots_alone(nobody, monkeypatch):
    """Those of another cloud beside the old settings would lock out the cloud that it has."""
    fetched = SimpleNamespace(name="cloud-root.der", path="tls_roots/cloud-root.der", der=b"new", text="")
    monkeypatch.setattr(roots, "find", lambda *_: [fetched])
    with SpeakerPeer(WHOLE) as peer:
        peer.roots = {"cloud-root.der": b"old", "cloud-spare.der": b"old"}
        peer._do_set = lambda command: {"ok": False, "error_kind": "config", "text": "not on my watch"}
        with pytest.raises(ToolError, match="the speaker refuses: not on my watch"):
            provision.run_cli(["--port", peer.port, "--set", "cloud_url=wss://example.org/"])
        assert peer.roots == {"cloud-root.der": b"old", "cloud-spare.der": b"old"} and peer.config == WHOLE


def test_the_speaker_has_the_last_word(nobody):
    with SpeakerPeer(WHOLE) as peer:
        refusal = {"ok": False, "error_kind": "config", "text": "volume_percent: not on my watch"}
        peer._do_set = lambda command: refusal
        with pytest.raises(ToolError, match="the speaker refuses: volume_percent: not on my watch"):
            run(peer, "--volume", "10")
        assert len(peer.did("set")) == 1 and peer.restarts == 0


# -- asked


def test_everything_is_asked_for_and_enter_keeps_what_is_set(monkeypatch, capfd):
    person = Person(monkeypatch, "Nest", PASSWORD, WHOLE["bot_id"], TOKEN, "", "", "55")
    with SpeakerPeer() as peer:
        peer._do_config = lambda command: {"ok": False, "error_kind": "config", "text": "bot_id: is missing"}
        assert run(peer) == 0
    assert peer.config == dict(WHOLE, mode="ptt_hold", board="bread_compact_wifi", volume_percent=55)
    assert len(person.asked) == 7
    person = Person(monkeypatch, "", "", "", "", "free", "", "")
    with SpeakerPeer(WHOLE) as peer:
        assert run(peer) == 0
    assert peer.config == dict(WHOLE, mode="free")
    assert "Enter keeps it" in person.asked[1] and "Enter keeps it" in person.asked[3]
    out, err = capfd.readouterr()
    assert TOKEN not in out + err and PASSWORD not in out + err
    assert not any(TOKEN in asked or PASSWORD in asked for asked in person.asked)


def test_a_wrong_answer_is_asked_for_again_with_the_reason(monkeypatch, capfd):
    answers = ["", "Nest", "short", PASSWORD, "my agent", WHOLE["bot_id"], "to ken", TOKEN, "", "", "loud", "900", "60"]
    person = Person(monkeypatch, *answers)
    with SpeakerPeer() as peer:
        peer._do_config = lambda command: {"config": {}}
        assert run(peer) == 0
    assert peer.config["volume_percent"] == 60 and peer.config["token"] == TOKEN and person.answers == []
    out = capfd.readouterr().out
    for text in ("type the name", "text of 5 characters", '"my agent" is not allowed', "text of 6 characters", '"loud"', "900 is not"):
        assert text in out, text
    assert "short" not in out and "to ken" not in out, "a wrong secret is one as well"


def test_enter_alone_is_no_open_network(monkeypatch, capfd):
    person = Person(monkeypatch, "", "short", PASSWORD)
    with SpeakerPeer(WHOLE) as peer:
        assert run(peer, "--wifi-name", "Nest 2") == 0
        assert peer.config["wifi_password"] == PASSWORD and person.answers == []
    out = capfd.readouterr().out
    assert "nothing was typed" in out and "or - for an open network" in out and '""' not in out


def test_a_person_is_asked_for_the_wifi_that_a_new_speaker_lacks(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    Person(monkeypatch, "Nest", PASSWORD)
    with SpeakerPeer() as peer:
        peer._do_config = lambda command: {"config": {"bot_id": "", "token": "", "wifi_ssid": ""}}
        assert run(peer, "--bot-id", WHOLE["bot_id"], "--token-env", "MY_TOKEN") == 0
    assert peer.config == WHOLE


def test_an_open_network_and_a_new_network(monkeypatch):
    Person(monkeypatch, "Cafe", "-", "", "", "", "", "")
    with SpeakerPeer(WHOLE) as peer:
        assert run(peer) == 0
        assert peer.config["wifi_password"] == "" and peer.config["wifi_ssid"] == "Cafe"
        person = Person(monkeypatch, "another password")
        assert run(peer, "--wifi-name", "Nest 2") == 0
        assert len(person.asked) == 1 and peer.config["wifi_password"] == "another password"
        assert run(peer, "--wifi-name", "Plaza", "--wifi-open") == 0
        assert peer.config["wifi_password"] == "" and peer.config["wifi_ssid"] == "Plaza"


@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("end", (KeyboardInterrupt, EOFError))
def test_an_end_at_any_question_changes_nothing(monkeypatch, at, end):
    answers = ["Other", "other password", "12", "t", "free", "elatoai_diy", "5"]
    answers[at] = end
    Person(monkeypatch, *answers)
    with SpeakerPeer(WHOLE) as peer:
        with pytest.raises(KeyboardInterrupt if end is KeyboardInterrupt else ToolError):
            run(peer)
        assert peer.config == WHOLE and peer.did("set") == [] and peer.restarts == 0


def test_on_a_real_terminal_nothing_secret_is_echoed(tmp_path):
    """The whole program on a terminal of its own: what a shoulder-surfer, a screen recording and the history see."""
    with SpeakerPeer(dict(WHOLE, token="old", wifi_password="old old old")) as peer:
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(ROOT)
            command = [sys.executable, "-m", "tools", "provision", "--port", peer.port, "--no-roots", "--no-restart"]
            os.execv(sys.executable, command)
        screen = b""
        answers = [b"Nest 3", PASSWORD.encode(), b"", TOKEN.encode(), b"", b"", b""]
        try:
            marks = [b"Wi-Fi name", b"Wi-Fi password", b"agent id", b"access token", b"how to talk", b"board", b"vol"]
            for mark, answer in zip(marks, answers):
                screen += read_until(terminal, mark)
                time.sleep(0.05)  # getpass switches the echo off after its prompt is out
                os.write(terminal, answer + b"\n")
            screen += read_until(terminal, b"written: ")
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        finally:
            os.close(terminal)
        assert peer.config == dict(WHOLE, wifi_ssid="Nest 3")
    assert b"Nest 3" in screen
    assert TOKEN.encode() not in screen and PASSWORD.encode() not in screen


def read_until(terminal, mark, timeout_s=20):
    seen = b""
    deadline_s = time.monotonic() + timeout_s
    while mark not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline_s - time.monotonic()))
        assert ready, (mark, seen)
        seen += os.read(terminal, 4096)
    return seen


# -- show and reset


def test_show_tells_everything_but_the_secrets(capfd):
    with SpeakerPeer(dict(WHOLE, cloud_url="wss://example.org/v1?key=hush")) as peer:
        assert run(peer, "--show") == 0
    out, _ = capfd.readouterr()
    shown = json.loads(out[out.index("{") :])
    assert shown["wifi_ssid"] == "Nest" and shown["token"] == shown["wifi_password"] == way_in.HIDDEN
    assert TOKEN not in out and PASSWORD not in out and "hush" not in out
    assert config.parse(json.dumps(WHOLE)).redacted()["token"] == way_in.HIDDEN, "one word for it on both sides"


def test_a_hidden_part_of_the_address_stays_when_something_else_is_set(nobody):
    url = "wss://example.org/v1?key=hush"
    with SpeakerPeer(dict(WHOLE, cloud_url=url)) as peer:
        assert run(peer, "--volume", "11") == 0
        assert peer.config["cloud_url"] == url and peer.config["volume_percent"] == 11


def test_show_of_a_speaker_without_settings(capfd):
    with SpeakerPeer() as peer:
        peer._do_config = lambda command: {"config": {}}
        assert run(peer, "--show") == 0
    assert "nothing is set" in capfd.readouterr().out


def test_reset_asks(monkeypatch, nobody):
    with SpeakerPeer(WHOLE) as peer:
        peer.roots = {"cloud-root.der": b"1", "cloud-spare.der": b"2", "mine.der": b"3"}
        with pytest.raises(ToolError, match="wants --yes"):
            run(peer, "--reset")
        for answer in ("n", "", EOFError):
            Person(monkeypatch, answer)
            assert run(peer, "--reset") == 0
            assert peer.config == WHOLE and len(peer.roots) == 3
        Person(monkeypatch, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            run(peer, "--reset")
        assert peer.config == WHOLE and len(peer.roots) == 3
        Person(monkeypatch, "y")
        assert run(peer, "--reset") == 0
        assert peer.config == {} and peer.roots == {"mine.der": b"3"} and peer.restarts == 1
        assert run(peer, "--reset", "--yes", "--no-restart") == 0
        assert peer.restarts == 1


# -- certificates


def test_the_roots_of_the_configured_cloud_arrive_before_the_restart(nobody, tmp_path, capfd):
    ca = trustme.CA()
    root = tmp_path / "root.pem"
    ca.cert_pem.write_to_path(str(root))
    with server(served_by(ca.create_child_ca())) as port, SpeakerPeer(WHOLE) as peer:
        peer.roots.update({name: b"of an earlier cloud" for name in roots.NAMES})
        url = "wss://localhost:%d/v1/chat" % port
        words = ["--port", peer.port, "--root", str(root)]
        assert provision.run_cli(words + ["--set", "cloud_url=" + url]) == 0
        assert peer.roots == {"cloud-root.der": to_der(ca.cert_pem.bytes())}
        assert peer.config == dict(WHOLE, cloud_url=url)
        dones = [command["do"] for command in peer.commands if not command.get("dry")]
        assert dones.index("put") < dones.index("set") < dones.index("restart"), "a speaker may start with the settings"
        peer.roots.clear()
        assert provision.run_cli(words + ["--renew-roots"]) == 0
        assert peer.roots == {"cloud-root.der": to_der(ca.cert_pem.bytes())} and peer.restarts == 2
        assert len(peer.did("set")) == 2, "the settings stay as they are"
    assert "stored tls_roots/cloud-root.der: " in capfd.readouterr().out


def test_a_cloud_that_cannot_be_verified_changes_nothing(nobody):
    with server(served_by(trustme.CA())) as port, SpeakerPeer(WHOLE) as peer:
        with pytest.raises(ToolError, match="cannot be verified from here(.|\n)*Nothing was changed. --no-roots"):
            provision.run_cli(["--port", peer.port, "--set", "cloud_url=wss://localhost:%d/" % port])
        assert peer.config == WHOLE and peer.roots == {} and peer.restarts == 0 and peer.did("set") == []


def test_roots_are_fetched_when_they_can_matter(nobody, monkeypatch):
    asked = []
    monkeypatch.setattr(roots, "find", lambda *where: asked.append(where) or [])
    monkeypatch.setenv("MY_TOKEN", TOKEN + "2")
    with SpeakerPeer(WHOLE) as peer:
        own = ["--set", "tls_roots=own", "--bot-id", "5"]
        for words in (["--volume", "1"], ["--set", "cloud_url=ws://localhost/"], own):
            assert provision.run_cli(["--port", peer.port] + words) == 0
        assert asked == []
        peer.config = dict(WHOLE)
        assert provision.run_cli(["--port", peer.port, "--token-env", "MY_TOKEN"]) == 0
    assert asked == [("ws.coze.cn", 443, None)]


# -- until it is online


def a_start(peer, *reports, state="connecting", **status):
    peer.status = dict(status, state=state)
    peer.after_start = list(reports)


def error(kind, text):
    return {"kind": "error", "error_kind": kind, "text": text}


@pytest.mark.parametrize(
    "kind, step, cure",
    (
        ("password", "Wi-Fi password", "small and capital letters"),
        ("network", "Wi-Fi name", "2.4 GHz"),
        ("address", "Wi-Fi address", "new devices"),
        ("clock", "clock", "UDP port 123"),
        ("token", "token", "permission to chat"),
        ("agent", "agent", "publish it"),
        ("tls", "certificate of the cloud", "--renew-roots"),
        ("config", "settings", "provision again"),
    ),
)
def test_the_step_that_failed_is_named_with_its_cure(nobody, kind, step, cure):
    with SpeakerPeer(WHOLE) as peer:
        a_start(peer, *[error(kind, "what the speaker says")] * 2)
        with pytest.raises(ToolError, match="(?s)it failed at the %s: what the speaker says.*%s" % (step, cure)):
            run(peer, "--volume", "5")
        assert peer.config["volume_percent"] == 5, "written all the same: only the way online failed"


def test_an_error_from_before_we_listened_is_in_the_status(nobody):
    with SpeakerPeer(WHOLE) as peer:
        a_start(peer, last_error={"error_kind": "token", "text": "expired"})
        with pytest.raises(ToolError, match="failed at the token: expired"):
            run(peer, "--volume", "5")


def test_one_failure_that_is_reported_and_stands_in_the_status_counts_once(nobody, capfd):
    """And states are told in the order in which the speaker was in them."""
    with SpeakerPeer(WHOLE) as peer:
        asked = []

        def status(command):
            if not peer.restarts:
                return {"state": "idle"}
            asked.append(1)
            if len(asked) > 2:
                return {"state": "idle"}
            if len(asked) == 1:
                peer.say("state", state="offline")
                peer.say("error", error_kind="dns", text="no answer")
                peer.say("state", state="connecting")
            return {"state": "connecting", "last_error": {"error_kind": "dns", "text": "no answer"}}

        peer._do_status = status
        assert run(peer, "--volume", "5") == 0
    out = capfd.readouterr().out
    assert out.count("no answer") == 1
    assert out.index("offline ...") < out.index("connecting ...") < out.index("idle ...")


def test_what_may_pass_does_not_end_the_wait(nobody, capfd):
    with SpeakerPeer(WHOLE) as peer:
        lost = [error("dns", "no answer"), error("audio", "the microphone coughs")]
        a_start(peer, *lost, {"kind": "state", "state": "idle"})
        assert run(peer, "--volume", "5") == 0
    out = capfd.readouterr().out
    assert "name of the cloud: no answer" in out and "online" in out


def test_a_speaker_that_never_gets_online_or_never_comes_back(nobody, monkeypatch):
    with SpeakerPeer(WHOLE) as peer:
        a_start(peer, error("dns", "no answer"))
        with pytest.raises(ToolError, match="not online after 0 s; it goes on trying. Its last state: connecting"):
            follow.until_online(peer.port, print, online_wait_s=0.2)
    with SpeakerPeer(WHOLE, hello_after=99) as peer:
        with pytest.raises(ToolError, match="the settings are written, but no speaker answers(.|\n)*deploy"):
            follow.until_online(peer.port, print, start_wait_s=0.2)


def test_what_the_old_one_says_before_it_goes_down_does_not_count(nobody):
    with SpeakerPeer(WHOLE) as peer:
        peer.status.update(state="idle", uptime_ms=60_000)
        peer.after_start = [{"kind": "state", "state": "connecting"}]
        honest = peer._do_status
        lives = iter([60_000, 60_000, 100, 200, 300])

        def status(command):
            peer.status["uptime_ms"] = next(lives)
            peer.status["state"] = "idle" if peer.status["uptime_ms"] in (60_000, 300) else "offline"
            return honest(command)

        peer._do_status = status
        seen = []
        assert follow.until_online(peer.port, seen.append)["uptime_ms"] == 300
    assert seen == ["offline ...", "idle ..."]


def test_a_reset_that_comes_after_the_greeting_is_lived_through(nobody):
    """The port goes away once more; its path may be another's then, as here, where it stays away."""
    with SpeakerPeer(WHOLE, dies_at=2) as peer:
        with pytest.raises(ToolError, match="no speaker answers after the restart"):
            follow.until_online(peer.port, print, start_wait_s=0.5)
    with SpeakerPeer(WHOLE) as peer:
        silent = [True]
        honest = peer._answer
        peer._answer = lambda line: silent.pop() if b"status" in line and silent else honest(line)
        assert follow.until_online(peer.port, print)["state"] == "idle"
    assert silent == []


def test_every_kind_of_error_has_a_step_or_is_no_obstacle():
    from firmware import errors

    assert set(errors.KINDS) - set(follow.STEPS) == {"slow", "turn", "audio"}
    assert set(follow.STEPS) <= set(errors.KINDS)


# -- Ctrl-C


def test_ctrl_c_while_it_writes_waits_for_the_end(nobody, monkeypatch):
    monkeypatch.setattr(roots, "find", lambda *_: [Root("cloud-root.der"), Root("cloud-spare.der")])

    class Root:
        def __init__(self, name):
            self.name, self.path, self.der, self.text = name, "tls_roots/" + name, b"der of " + name.encode(), ""

    with SpeakerPeer(WHOLE) as peer:
        honest = peer._do_set

        def interrupted(command):
            os.kill(os.getpid(), signal.SIGINT)
            return honest(command)

        peer._do_set = interrupted
        with pytest.raises(SystemExit) as caught:
            provision.run_cli(["--port", peer.port, "--bot-id", "99"])
        assert caught.value.code == 130
        assert peer.config["bot_id"] == "99" and len(peer.roots) == 2 and peer.restarts == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_verb_is_there_and_its_help_teaches():
    done = subprocess.run(
        [sys.executable, "-m", "tools", "provision", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for word in ("--wifi-name", "examples:", "Ctrl-C", "--renew-roots", "xingzhi_cube_1_54"):
        assert word in done.stdout
    assert "--token TOKEN" not in done.stdout
