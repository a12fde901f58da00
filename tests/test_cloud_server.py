"""The emulated cloud on real sockets: handshake, TLS, frames that no library makes, records and the command line."""

import asyncio
import base64
import json
import signal
import ssl
import subprocess
import sys
import wave
from pathlib import Path

import aiohttp
import pytest

from tools.cloud import audio, cli, faults, records, scenario
from tools.cloud.server import CloudServer

ROOT = Path(__file__).parent.parent
ANSWER = {"text": "Here it is.", "audio": {"signal": "noise", "ms": 400}}
QUICK = {"synthesis_speed": 50, "updated_ms": 1, "recognise_ms": 5, "created_ms": 1, "cancel_ms": 5}


def quick(*specs, **more):
    """A scenario that loses no time."""
    turns = [{"heard": "a question", "answer": [ANSWER], "first_audio_ms": 10, **spec} for spec in specs or ({},)]
    return {"turns": turns, **QUICK, **more}


class Client:
    """A WebSocket client on aiohttp that answers no ping by itself."""

    def __init__(self, server, session, ws):
        self.server, self.session, self.ws = server, session, ws
        self.got, self.pings = [], []

    @classmethod
    async def connect(cls, server, session, **options):
        url = server.url + "?bot_id=73"
        headers = {"Authorization": "Bearer " + (server.token or "any")}
        return cls(server, session, await session.ws_connect(url, headers=headers, autoping=False, **options))

    async def send(self, event_type, data=None):
        await self.ws.send_str(json.dumps({"event_type": event_type, **({"data": data} if data is not None else {})}))

    async def until(self, event_type):
        """The first event of this type that comes next."""
        while True:
            message = await asyncio.wait_for(self.ws.receive(), 10)
            if message.type is aiohttp.WSMsgType.PING:
                self.pings.append(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                self.got.append(json.loads(message.data))
                if isinstance(self.got[-1], dict) and self.got[-1].get("event_type") == event_type:
                    return self.got[-1]
            elif message.type is not aiohttp.WSMsgType.BINARY:
                raise AssertionError("%s instead of %s" % (message.type, event_type))

    async def configure(self, **more):
        await self.send("chat.update", {"input_audio": {"format": "pcm", "sample_rate": 16000},
                                        "output_audio": {"pcm_config": {"sample_rate": 16000}}, **more})
        return await self.until("chat.updated")

    async def ask(self, wire=bytes(range(256)) * 10):
        for at in range(0, len(wire), 640):
            await self.send("input_audio_buffer.append", {"delta": base64.b64encode(wire[at : at + 640]).decode()})
        await self.send("input_audio_buffer.complete")

    def audio(self):
        return b"".join(base64.b64decode(e["data"]["content"]) for e in self.got
                        if isinstance(e, dict) and e.get("event_type") == "conversation.audio.delta")


async def hold_a_turn(server, **options):
    async with aiohttp.ClientSession() as session:
        client = await Client.connect(server, session, **options)
        await client.configure()
        await client.ask()
        await client.until("conversation.chat.completed")
        await client.ws.close()
        return client


async def test_a_turn_over_plain_ws_byte_by_byte():
    async with CloudServer(quick()) as server:
        client = await hold_a_turn(server)
        assert server.url.startswith("ws://localhost:") and server.ca_pem is None
        turn, = server.turns
        assert client.audio() == turn.sent == audio.to_little_endian(audio.make_signal("noise", 400, 16000))
        assert turn.utterance.wire == bytes(range(256)) * 10
        await server.until(lambda s: s.connections[0].is_over)
        assert server.connections[0].close_code == 1000


async def test_a_turn_over_verified_tls():
    async with CloudServer(quick(), tls=True) as server:
        root = ssl.create_default_context(cafile=server.ca_pem)
        client = await hold_a_turn(server, ssl=root)
        assert client.audio() == server.turns[0].sent
        der, = Path(server.ca_der_folder).glob("*.der")
        assert ssl.DER_cert_to_PEM_cert(der.read_bytes()).strip() == Path(server.ca_pem).read_text().strip()
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await Client.connect(server, session)
        folder = Path(server.ca_der_folder)
    assert not folder.exists()


async def test_a_certificate_for_another_host_is_made_to_order(tmp_path):
    async with CloudServer(quick(), tls=tmp_path, tls_hosts=("elsewhere.invalid",)) as server:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError, match="localhost"):
                await Client.connect(server, session, ssl=ssl.create_default_context(cafile=server.ca_pem))
    assert (tmp_path / "roots" / "emulated_cloud.der").exists()


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
async def test_certificate_is_good_for_name_and_address(address):
    async with CloudServer(quick(), tls=True) as server, aiohttp.ClientSession() as session:
        root = ssl.create_default_context(cafile=server.ca_pem)
        async with session.ws_connect("wss://%s:%d/v1/chat?bot_id=1" % (address, server.port), ssl=root,
                                      headers={"Authorization": "Bearer " + server.token}) as ws:
            assert (await ws.receive_json())["event_type"] == "chat.created"


async def test_refusals_are_http_answers_with_a_log_id():
    async with CloudServer(quick()) as server, aiohttp.ClientSession() as session:
        for headers, query, status in (({}, "?bot_id=1", 401), ({"Authorization": "Bearer x"}, "?bot_id=1", 401),
                                       ({"Authorization": "Bearer " + server.token}, "", 400)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(server.url + query, headers=headers)
            assert caught.value.status == status
            assert caught.value.headers["x-tt-logid"]
        async with session.get(server.url.replace("ws:", "http:") + "?bot_id=1",
                               headers={"Authorization": "Bearer " + server.token}) as response:
            assert response.status == 426
    assert [refusal.status for refusal in server.cloud.refusals] == [401, 401, 400]


async def test_any_status_and_a_wrong_accept_by_scenario():
    async with CloudServer(quick(refuse_status=503)) as server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await Client.connect(server, session)
        assert caught.value.status == 503
    async with CloudServer(quick(wrong_accept=True)) as server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="challenge"):
            await Client.connect(server, session)


async def test_fragments_and_a_ping_inside_arrive_in_order():
    faults = [{"kind": "ping_inside", "pieces": 4}]
    async with CloudServer(quick({"faults": faults})) as server:
        client = await hold_a_turn(server)
        assert client.audio() == server.turns[0].planned
        assert client.pings == [b"inside"] * len(server.turns[0].packets)


async def test_all_odd_spellings_arrive():
    script = json.loads((scenario.FOLDER / "nasty_json.json").read_text())
    script["turns"] = [{**turn, "first_audio_ms": 10} for turn in script["turns"]]
    async with CloudServer({**script, **QUICK}) as server, aiohttp.ClientSession() as session:
        client = await Client.connect(server, session)
        await client.configure()
        for number in range(len(server.scenario.turns)):
            client.got.clear()
            await client.ask()
            await client.until("conversation.chat.completed")
            assert client.audio() == server.turns[number].planned
        await client.ws.close()


@pytest.mark.parametrize("end, kind, code", [
    ("close", aiohttp.WSMsgType.CLOSE, 1011), ("stream", aiohttp.WSMsgType.CLOSED, None),
    ("reset", aiohttp.WSMsgType.CLOSED, None),
])
async def test_drops_in_the_middle_of_an_answer(end, kind, code):
    drop = {"kind": "drop", "nth": 2, "end": end}
    async with CloudServer(quick({"faults": [drop]})) as server, aiohttp.ClientSession() as session:
        client = await Client.connect(server, session)
        await client.configure()
        await client.ask()
        messages = []
        while not messages or messages[-1].type is aiohttp.WSMsgType.TEXT:
            messages.append(await asyncio.wait_for(client.ws.receive(), 10))
        last = messages[-1]
        if end == "reset":
            assert last.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        else:
            assert last.type is kind
            # What was recorded as sent before the drop did arrive.
            wire = b"".join(base64.b64decode(json.loads(m.data)["data"]["content"]) for m in messages[:-1]
                            if "conversation.audio.delta" in m.data)
            assert wire == server.turns[0].sent
        if code:
            assert last.data == code
        await server.until(lambda s: s.connections[0].is_over)
        assert server.turns[0].status == records.LOST


async def test_cable_pull_and_reconnect_into_the_same_conversation():
    async with CloudServer(quick()) as server, aiohttp.ClientSession() as session:
        client = await Client.connect(server, session)
        conversation = (await client.configure())["data"]["chat_config"]["conversation_id"]
        await server.drop_connections()
        assert (await client.ws.receive()).type is aiohttp.WSMsgType.CLOSED
        again = await Client.connect(server, session)
        updated = await again.configure(chat_config={"conversation_id": conversation})
        assert updated["data"]["chat_config"]["conversation_id"] == conversation
        assert server.connections[0].conversation is server.connections[1].conversation


async def test_missed_pongs_end_the_connection_and_answered_ones_keep_it():
    async with CloudServer(quick(ping_period_ms=20, missed_pongs=2)) as server, aiohttp.ClientSession() as session:
        silent = await Client.connect(server, session)
        kinds = []
        while not kinds or kinds[-1] is not aiohttp.WSMsgType.CLOSE:
            kinds.append((await asyncio.wait_for(silent.ws.receive(), 10)).type)
        assert [kind.name for kind in kinds] == ["TEXT", "PING", "PING", "CLOSE"]
        headers = {"Authorization": "Bearer " + server.token}
        async with session.ws_connect(server.url + "?bot_id=1", headers=headers) as ws:
            with pytest.raises(asyncio.TimeoutError):
                await ws.receive_json()
                await asyncio.wait_for(ws.receive(), 0.3)
            assert not ws.closed


async def test_stopping_the_server_says_going_away():
    async with aiohttp.ClientSession() as session:
        server = CloudServer(quick())
        async with server:
            client = await Client.connect(server, session)
            await client.until("chat.created")
            closing = asyncio.ensure_future(client.ws.receive())
        assert (await closing).data == 1001
        await server.stop()


def test_server_in_a_thread_beside_blocking_code(tmp_path):
    with CloudServer(quick(), record=tmp_path).in_thread() as server:
        asyncio.run(hold_a_turn(server))
        server.wait_until(lambda s: s.connections[0].is_over)
        with pytest.raises(TimeoutError):
            server.wait_until(lambda s: len(s.turns) > 1, timeout_s=0.05)
    with wave.open(str(tmp_path / "001-said.wav")) as file:
        assert file.readframes(file.getnframes()) == server.turns[0].pcm
    with wave.open(str(tmp_path / "001-heard.wav")) as file:
        assert file.readframes(file.getnframes()) == bytes(range(256)) * 10
    log = (tmp_path / "events.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [x["event_type"] for x in lines if x["direction"] == "up"] == (
        ["chat.update"] + ["input_audio_buffer.append"] * 4 + ["input_audio_buffer.complete"])
    assert all(a["t_ms"] <= b["t_ms"] for a, b in zip(lines, lines[1:]))
    assert server.token not in log
    assert next(x for x in lines if x["event_type"] == "input_audio_buffer.append")["data"] == {"delta": {"chars": 856}}


def test_a_taken_port_is_an_error_at_start():
    with CloudServer(quick()).in_thread() as server:
        with pytest.raises(OSError):
            with CloudServer(quick(), port=server.port).in_thread():
                pass


# --- the command line ---


def start_cli(*arguments):
    code = "import sys; from tools.cloud.cli import run_cli; sys.exit(run_cli(sys.argv[1:]))"
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_command_line_serves_until_ctrl_c(tmp_path):
    process = start_cli("--tls", str(tmp_path / "tls"), "--token", "T", "--record", str(tmp_path / "out"))
    try:
        ready = json.loads(process.stdout.readline())

        async def visit():
            async with aiohttp.ClientSession() as session:
                root = ssl.create_default_context(cafile=ready["ca_pem"])
                async with session.ws_connect(ready["url"] + "?bot_id=1", ssl=root,
                                              headers={"Authorization": "Bearer T"}) as ws:
                    assert (await ws.receive_json())["event_type"] == "chat.created"

        asyncio.run(visit())
        assert ready["token"] == "T" and ready["scenario"] == "default"
        assert list(Path(ready["ca_der_folder"]).glob("*.der"))
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "")
    assert "connection 1: chat.created" in told and "Traceback" not in told


def test_command_line_names_a_mistake(capsys, tmp_path):
    (tmp_path / "x.json").write_text('{"turns": [{"herd": 1}]}')
    assert cli.run_cli(["--scenario", str(tmp_path / "x.json")]) == 2
    assert "turns[0].herd: is unknown" in capsys.readouterr().err
    assert cli.run_cli(["--scenario", "no-such"]) == 2
    with pytest.raises(SystemExit) as ended:
        cli.run_cli(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert cli.run_cli(["--list-faults"]) == 0
    assert set(faults.KINDS) <= set(capsys.readouterr().out.split())
    assert "python -m tools cloud --port 8765 --plain --token T" in told and "nasty_json" in told
