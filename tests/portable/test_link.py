"""The life of one WebSocket connection, on a stepped clock over an in-memory stream."""

import asyncio
import sys

import ws_protocol as ws
from check import HeapMeter, raises, run_stepped
from fake_audio import Place
from fake_peer import PLENTY, FakeStream, Settings, Setup, frame
from firmware import compat, errors, trace
from firmware.errors import CloudError, ConfigError, LinkError, PeerError
from firmware.net import link

TOKEN = "pat_0123456789abcdef"


def run(test, stream=None, **options):
    async def main():
        setup = Setup(stream() if stream else None, **options)
        await test(setup)

    run_stepped(main())


def numbered(i, n=40):
    return b"%04d" % i + bytes([i & 0xFF]) * n


def audio(*frames):
    return [b"A:" + f for f in frames]


# Opening


def test_opening():
    async def test(setup):
        await setup.open({"Authorization": "Bearer " + TOKEN})
        assert setup.asked == (("the", "address"), "example.org", "a context", 15000)
        request = setup.stream.request.decode()
        assert request.startswith("GET /chat?bot_id=7 HTTP/1.1\r\nHost: example.org\r\n")
        assert "\r\nAuthorization: Bearer " + TOKEN + "\r\n" in request
        assert link.find_log_id(setup.link.headers) == "r-17"

    run(test)


def test_the_host_header_names_an_unusual_port():
    async def test(setup):
        for host, port, tls, expected in (
            ("example.org", 8443, "tls", "example.org:8443"),
            ("example.org", 80, None, "example.org"),
            ("example.org", 443, None, "example.org:443"),
            ("::1", 8443, "tls", "[::1]:8443"),
        ):
            fresh = Setup()
            await fresh.link.open(None, host, port, "/", {}, tls)
            assert "\r\nHost: %s\r\n" % expected in fresh.stream.request.decode()

    run(test)


def test_a_request_written_in_pieces():
    async def test(setup):
        setup.stream.piece_bytes = 7
        setup.stream.room_bytes = 50
        task = asyncio.create_task(setup.open())
        await setup.settle()
        assert setup.stream.nones == 1
        setup.stream.give_room(PLENTY)
        await task

    run(test)


async def refusal_of(setup, status_and_headers, body=b"", headers=None):
    answer = b"HTTP/1.1 " + status_and_headers + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    setup.stream = FakeStream(lambda request: answer)
    with raises(link.Refused) as caught:
        await setup.open(headers, "/chat?sig=abcdefghijklmnopqrstuvwxyz012345&bot_id=7")
    assert setup.stream.is_closed
    return caught.error


def test_refusals():
    async def test(setup):
        refusal = await refusal_of(setup, b"401 Unauthorized\r\nX-Tt-Logid: 20240101abc", b'{"code":4100}')
        assert refusal.status == 401 and refusal.log_id == "20240101abc" and refusal.kind == errors.TOKEN
        assert "401 Unauthorized" in refusal.text and "4100" in refusal.text
        for status, kind in ((b"403 F", errors.REFUSED), (b"404 N", errors.REFUSED), (b"429 T", errors.BUSY)):
            assert (await refusal_of(Setup(), status)).kind == kind
        assert (await refusal_of(Setup(), b"503 Gone fishing")).kind == errors.BUSY

    run(test)


def test_a_refusal_never_repeats_what_is_secret():
    async def test(setup):
        headers = {"Authorization": "Bearer " + TOKEN}
        echo = ("sorry, " + TOKEN + " at abcdefghijklmnopqrstuvwxyz012345 is no token for bot 7").encode()
        refusal = await refusal_of(setup, b"401 No " + TOKEN.encode() + b"\r\nX: " + TOKEN.encode(), echo, headers)
        everything = refusal.text + refusal.body + refusal.reason + repr(refusal.headers) + str(refusal)
        assert TOKEN not in everything and "abcdefghijklmnopqrstuvwxyz012345" not in everything
        assert "is no token for bot 7" in refusal.text

    run(test)


def test_a_refusal_whose_body_never_ends_is_told_soon():
    async def test(setup):
        setup.stream = FakeStream(lambda request: b"HTTP/1.1 503 Busy\r\n\r\ncome back")
        with raises(link.Refused, "come back"):
            await setup.open()
        assert setup.ports.ticks_ms() == 1000

    run(test)


def test_no_answer_in_time():
    async def test(setup):
        setup.stream = FakeStream(None)
        with raises(LinkError, "does not answer") as caught:
            await setup.open()
        assert caught.error.kind == errors.TIMEOUT and setup.ports.ticks_ms() == 15000
        assert setup.stream.is_closed

    run(test)


def test_a_peer_that_takes_nothing():
    async def test(setup):
        setup.stream.room_bytes = 10
        with raises(LinkError, "does not answer") as caught:
            await setup.open()
        assert caught.error.kind == errors.TIMEOUT and setup.ports.ticks_ms() == 15000

    run(test)


def test_wrong_answers():
    async def test(setup):
        for answer in (
            lambda request: b"\x15\x03\x01\0\2\2F",
            lambda request: b"HTTP/1.1 101 ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ):
            fresh = Setup(FakeStream(answer))
            with raises(PeerError):
                await fresh.open()
            assert fresh.stream.is_closed

    run(test)


def test_the_connection_ends_inside_the_handshake():
    async def test(setup):
        setup.stream = FakeStream(lambda request: b"HTTP/1.1 101 Swi")
        setup.stream.end()
        with raises(PeerError, "ended"):
            await setup.open()
        fresh = Setup(FakeStream(None))
        fresh.stream.fail(LinkError("example.org cut the connection", errno=104))
        with raises(LinkError, "cut") as caught:
            await fresh.open()
        assert caught.error.errno == 104

    run(test)


def test_a_setting_that_cannot_be_sent():
    async def test(setup):
        with raises(ConfigError, "Authorization") as caught:
            await setup.open({"Authorization": "Bearer " + TOKEN + "\n"})
        assert TOKEN not in str(caught.error)
        assert setup.asked is None

    run(test)


def test_closing_while_it_is_opened():
    async def test(setup):
        setup.stream = FakeStream(None)
        task = asyncio.create_task(setup.open())
        await setup.settle()
        await setup.link.close()
        with raises(errors.PipitError):
            await task
        assert setup.ports.ticks_ms() == 0 and setup.stream.is_closed
        unused = Setup()
        await unused.link.close()
        with raises(LinkError):
            await unused.open()

    run(test)


def test_cancelling_the_opening():
    async def test(setup):
        setup.stream = FakeStream(None)
        task = asyncio.create_task(setup.open())
        await setup.settle()
        task.cancel()
        await setup.settle()
        assert setup.stream.is_closed
        await setup.link.close()

    run(test)


# Reading


def test_messages_reach_the_session_in_order():
    async def test(setup):
        setup.stream = FakeStream(lambda request: good(request) + frame(1, b"glued"))
        await setup.start()
        for i in range(50):
            setup.stream.feed(frame(1, numbered(i, i * 40)))
        setup.stream.feed(frame(2, b"binary is ignored") + frame(1, b"pa", fin=False) + frame(0, b"rts"))
        for _ in range(4):
            await setup.settle()
        assert setup.session.heard == [b"glued"] + [numbered(i, i * 40) for i in range(50)] + [b"parts"]

    from fake_peer import good_answer as good

    run(test)


def test_too_big_a_message_is_skipped_and_noted():
    async def test(setup):
        await setup.start()
        setup.stream.feed(frame(1, bytes(9000)) + frame(1, b"next"))
        await setup.settle()
        assert setup.session.heard == [b"next"]
        assert trace.TOO_BIG in setup.trace_codes

    run(test)


def test_reading_pauses_when_the_session_asks():
    async def test(setup):
        setup.session.pause_ms = 700
        await setup.start()
        for i in range(3):
            setup.stream.feed(frame(1, b"%d" % i))
        await setup.settle()
        assert setup.session.heard == [b"0"]
        await setup.ports.sleep_ms(1399)
        assert setup.session.heard == [b"0", b"1"]
        await setup.ports.sleep_ms(1)
        await setup.settle()
        assert setup.session.heard == [b"0", b"1", b"2"]

    run(test)


def test_a_flood_leaves_time_for_the_writer():
    async def test(setup):
        await setup.start()

        def more(message):
            if not setup.stream.texts():
                setup.stream.feed(frame(1, b"flood"))

        setup.session.on_message = more
        setup.stream.feed(frame(1, b"flood"))
        setup.uplink.push(b"frame")
        await setup.settle()
        assert setup.stream.texts() == audio(b"frame")
        assert len(setup.session.heard) < 10

    run(test)


# Writing


def test_nothing_is_sent_before_it_is_allowed():
    async def test(setup):
        await setup.start(allow_audio=False)
        setup.uplink.push(b"one", b"two", None)
        setup.link.send(b"configuration")
        await setup.settle()
        assert setup.stream.texts() == [b"configuration"]
        setup.link.allow_audio(True)
        await setup.settle()
        assert setup.stream.texts() == [b"configuration"] + audio(b"one", b"two") + [b"complete"]
        setup.link.allow_audio(False)
        setup.uplink.push(b"three")
        await setup.settle()
        assert len(setup.stream.texts()) == 4

    run(test)


def test_every_frame_has_a_mask_key_of_its_own():
    async def test(setup):
        await setup.start()
        setup.uplink.push(*[b"same"] * 100)
        await setup.settle()
        for _ in range(10):
            await setup.settle()
        assert len(setup.stream.texts()) == 100
        keys = set()
        step = len(setup.stream.sent) // 100
        for i in range(100):
            keys.add(bytes(setup.stream.sent[i * step + 2 : i * step + 6]))
        assert len(keys) == 100

    run(test)


def test_partial_and_refused_writes_lose_nothing():
    async def test(setup):
        await setup.start()
        setup.stream.piece_bytes = 13
        setup.stream.room_bytes = 0
        frames = [numbered(i, 30 + i * 5) for i in range(40)]
        setup.uplink.push(*frames)
        setup.uplink.push(None)
        await setup.settle()
        given = 0
        while len(setup.stream.texts()) < 41:
            given += 1
            setup.stream.give_room(1 + given * 37 % 91)
            await setup.ports.sleep_ms(5)
            await setup.settle()
        assert setup.stream.texts() == audio(*frames) + [b"complete"]
        assert setup.stream.nones > 20

    run(test)


def test_control_messages_go_before_audio_and_a_pong_before_both():
    async def test(setup):
        await setup.start()
        setup.stream.room_bytes = 5
        setup.uplink.push(b"first", b"second", b"third")
        await setup.settle()  # the first is half out
        setup.link.send(b"cancel")
        setup.link.send(b"clear")
        setup.stream.feed(frame(9, b"are you there"))
        await setup.settle()
        setup.stream.give_room(PLENTY)
        await setup.settle()
        assert setup.stream.frames() == [
            (1, b"A:first"), (10, b"are you there"), (1, b"cancel"), (1, b"clear"), (1, b"A:second"), (1, b"A:third"),
        ]  # fmt: skip

    run(test)


def test_only_the_newest_of_many_pings_needs_a_pong():
    async def test(setup):
        await setup.start()
        setup.stream.room_bytes = 5
        setup.uplink.push(b"frame")
        await setup.settle()
        setup.stream.feed(frame(9, b"1") + frame(9, b"") + frame(9, bytes(125)))
        await setup.settle()
        setup.stream.give_room(20)
        await setup.settle()  # now the pong is half out
        setup.stream.feed(frame(9, b"new"))
        await setup.settle()
        setup.stream.give_room(PLENTY)
        await setup.settle()
        assert setup.stream.frames() == [(1, b"A:frame"), (10, bytes(125)), (10, b"new")]

    run(test)


def test_complete_goes_out_after_the_last_frame_and_is_told_when_it_is_out():
    async def test(setup):
        await setup.start()
        frames = [numbered(i) for i in range(5)]
        setup.uplink.push(*frames)
        setup.uplink.push(None)
        await setup.ports.sleep_ms(10)
        assert setup.stream.texts() == audio(*frames) + [b"complete"]
        assert setup.session.log == [("first_frame", 0), ("complete", 0)]
        setup.stream.room_bytes = 5
        setup.uplink.push(b"next", None)
        await setup.ports.sleep_ms(10)
        assert len(setup.session.log) == 2
        setup.stream.give_room(9)  # the frame (2 + 4 + 6 bytes) and two bytes of the end
        await setup.ports.sleep_ms(10)
        assert setup.session.log[2:] == [("first_frame", 20)]
        setup.stream.give_room(PLENTY)
        await setup.settle()
        assert setup.session.log[3:] == [("complete", 30)]

    run(test)


def test_after_an_abort_the_next_frame_is_a_first_one():
    async def test(setup):
        await setup.start()
        setup.uplink.push(b"one")
        await setup.settle()
        setup.uplink.push(b"two")
        await setup.settle()
        assert len(setup.session.log) == 1
        setup.link.send(b"clear")
        setup.uplink.abort()  # which also clears the writer's bell
        setup.uplink.push(b"other")
        await setup.settle()
        assert len(setup.session.log) == 2
        assert setup.stream.texts() == audio(b"one", b"two") + [b"clear"] + audio(b"other")

    run(test)


def test_a_message_is_not_lost_to_an_abort_in_the_same_moment():
    async def test(setup):
        await setup.start()
        for is_busy in (False, True):
            if is_busy:
                setup.stream.room_bytes = 3
                setup.uplink.push(b"busy")
                await setup.settle()
            setup.link.send(b"clear")
            setup.uplink.abort()
            setup.stream.give_room(PLENTY)
            await setup.settle()
            assert setup.stream.texts()[-1] == b"clear"
            setup.stream.sent = bytearray()

    run(test)


def test_a_message_longer_than_any_frame_of_audio():
    async def test(setup):
        await setup.start()
        long = b"x" * 70000
        setup.stream.piece_bytes = 4096
        assert setup.link.send(long)
        await setup.settle()
        assert setup.stream.texts() == [long]

    run(test)


def test_too_many_waiting_messages_end_the_connection():
    async def test(setup):
        await setup.start()
        setup.stream.room_bytes = 0
        while setup.link.send(b"message"):
            pass
        error = await setup.until_over()
        assert error.kind == errors.SLOW and setup.stream.is_closed
        assert not setup.link.send(b"more")

    run(test)


def test_a_backlog_leaves_time_for_the_others():
    async def test(setup):
        await setup.start()
        setup.uplink.push(*[b"frame"] * 250)
        for _ in range(5):
            await setup.ports.sleep_ms(0)
        assert 0 < len(setup.stream.texts()) < 30

    run(test)


# Ends


def test_an_orderly_close_of_ours():
    async def test(setup):
        await setup.start()
        setup.link.send(b"last words")
        setup.uplink.push(b"too late")
        closing = asyncio.create_task(setup.link.close())
        await setup.settle()
        assert setup.stream.frames() == [(1, b"last words"), (8, b"\x03\xe8")]
        setup.stream.feed(frame(1, b"nobody listens any more") + frame(8, b"\x03\xe8"))
        setup.stream.end()
        await closing
        assert await setup.until_over() is None
        assert setup.result[1] == 0 and setup.session.heard == [] and setup.stream.is_closed
        await setup.link.close()

    run(test)


def test_from_the_call_of_close_the_session_hears_nothing():
    async def test(setup):
        await setup.start()
        setup.stream.feed(frame(1, b"stale"))
        setup.uplink.push(b"stale")
        closing = setup.link.close()  # not awaited yet
        assert setup.link.send(b"no") is False
        await setup.settle()
        assert setup.session.heard == [] and setup.stream.texts() == []
        setup.stream.end()
        await closing

    run(test)


def test_a_close_that_is_not_answered():
    async def test(setup):
        await setup.start()
        await setup.link.close()
        assert setup.ports.ticks_ms() == 2000 and setup.stream.is_closed
        assert await setup.until_over() is None

    run(test)


def test_a_close_that_cannot_be_sent():
    async def test(setup):
        await setup.start()
        setup.stream.room_bytes = 3
        setup.uplink.push(b"stuck")
        await setup.settle()
        await setup.link.close()
        assert setup.ports.ticks_ms() == 2000 and setup.stream.is_closed

    run(test)


def test_a_cancelled_run_is_closed_in_order():
    async def test(setup):
        await setup.start()
        setup.task.cancel()
        closing = asyncio.create_task(setup.link.close())
        await setup.settle()
        assert setup.stream.frames() == [(8, b"\x03\xe8")]
        setup.stream.feed(frame(8, b"\x03\xe8"))
        setup.stream.end()
        await closing
        assert setup.stream.is_closed and setup.ports.ticks_ms() == 0

    run(test)


def test_the_peer_closes():
    async def test(setup):
        for code, kind in (
            (1000, None),
            (1001, None),
            (1005, None),
            (1008, errors.REFUSED),
            (1011, errors.BUSY),
            (1013, errors.BUSY),
            (1002, errors.PROTOCOL),
            (4001, errors.CONNECT),
        ):
            fresh = Setup()
            await fresh.start()
            payload = b"" if code == 1005 else bytes([code >> 8, code & 255]) + b"because"
            fresh.uplink.push(b"on its way")
            await fresh.settle()
            fresh.stream.feed(frame(8, payload))
            await fresh.settle()
            answer = 1000 if code == 1005 else code
            assert fresh.stream.frames()[1:] == [(8, bytes([answer >> 8, answer & 255]))]
            fresh.uplink.push(b"too late")
            fresh.link.send(b"too late")
            await fresh.settle()
            assert len(fresh.stream.frames()) == 2
            fresh.stream.end()
            error = await fresh.until_over()
            assert fresh.link.close_code == code
            if kind is None:
                assert error is None
            else:
                assert isinstance(error, CloudError) and error.kind == kind and error.code == code
                assert str(code) in error.text and "because" in error.text

    run(test)


def test_the_peer_closes_while_we_pause_or_write():
    async def test(setup):
        await setup.start()
        setup.session.pause_ms = 500
        setup.stream.room_bytes = 8
        setup.uplink.push(b"a frame that is half out")
        setup.stream.feed(frame(1, b"message") + frame(8, b"\x03\xe9"))
        await setup.ports.sleep_ms(600)
        setup.stream.give_room(PLENTY)
        await setup.settle()
        assert setup.stream.frames() == [(1, b"A:a frame that is half out"), (8, b"\x03\xe9")]
        setup.stream.end()
        assert await setup.until_over() is None

    run(test)


def test_the_peer_closes_between_fragments():
    async def test(setup):
        await setup.start()
        setup.stream.feed(frame(1, b"half", fin=False) + frame(8, b"\x03\xe8"))
        await setup.settle()
        assert setup.stream.frames() == [(8, b"\x03\xe8")] and setup.session.heard == []
        setup.stream.end()
        assert await setup.until_over() is None

    run(test)


def test_a_peer_that_closes_but_stays():
    async def test(setup):
        await setup.start()
        setup.stream.feed(frame(8, b"\x03\xe8"))
        assert await setup.until_over() is None
        assert setup.result[1] == 0 and setup.stream.is_closed

    run(test)


def test_the_peer_breaks_the_protocol():
    async def test(setup):
        for bad, code in ((frame(1, b"x", mask=True), 1002), (frame(8, b"\x03\xe8\xff"), 1007), (frame(3), 1002)):
            fresh = Setup()
            await fresh.start()
            fresh.link.send(b"waiting")
            fresh.stream.feed(frame(1, b"good") + bad + frame(1, b"never"))
            error = await fresh.until_over()
            assert isinstance(error, PeerError) and error.close_code == code
            assert fresh.stream.frames()[-1] == (8, bytes([code >> 8, code & 255]))
            assert fresh.session.heard == [b"good"] and fresh.stream.is_closed
            assert fresh.result[1] == 0

    run(test)


def test_a_broken_protocol_while_nothing_can_be_written():
    async def test(setup):
        await setup.start()
        setup.stream.room_bytes = 3
        setup.uplink.push(b"stuck")
        setup.stream.feed(frame(5))
        error = await setup.until_over()
        assert isinstance(error, PeerError) and setup.result[1] == 2000

    run(test)


def test_the_stream_ends_or_fails():
    async def test(setup):
        await setup.start()
        setup.stream.feed(frame(1, b"last") + b"\x81\x05hal")
        setup.stream.end()
        error = await setup.until_over()
        assert isinstance(error, LinkError) and error.kind == errors.CONNECT
        assert setup.session.heard == [b"last"]
        for is_writing in (False, True):
            fresh = Setup()
            await fresh.start()
            if is_writing:
                fresh.stream.room_bytes = 3
                fresh.uplink.push(b"stuck")
                await fresh.settle()
            reset = LinkError("example.org cut the connection", errno=104)
            fresh.stream.fail(reset)
            assert await fresh.until_over() is reset
            assert fresh.stream.is_closed

    run(test)


def test_a_cancelled_write_ends_the_connection():
    async def test(setup):
        await setup.start()
        setup.stream.room_bytes = 3
        setup.uplink.push(b"half out")
        await setup.settle()
        setup.link._tasks[1].cancel()
        error = await setup.until_over()
        assert "cancelled" in error.text and setup.stream.is_closed

    run(test)


def test_a_mistake_of_ours_is_raised_and_not_hidden():
    async def test(setup):
        await setup.open()

        def broken(message):
            raise KeyError("a bug")

        setup.session.on_message = broken
        setup.stream.feed(frame(1, b"message"))
        with raises(KeyError, "a bug"):
            await setup.link.run()
        assert setup.stream.is_closed

    run(test)


# Time


def test_a_quiet_peer_is_given_up():
    async def test(setup):
        await setup.start()
        error = await setup.until_over()
        # The first ping after 17 s, and 10 s for its answer.
        assert error.kind == errors.TIMEOUT and "27 s" in error.text
        assert setup.result[1] == 27000

    run(test)


class Impatient(Settings):
    idle_timeout_ms = 5000


def test_a_short_idle_time_counts_before_any_ping():
    async def test(setup):
        setup.link._config = Impatient
        await setup.start()
        error = await setup.until_over()
        assert error.kind == errors.TIMEOUT and setup.result[1] == 5000

    run(test)


def test_any_byte_from_the_peer_counts_as_life():
    async def test(setup):
        await setup.start()
        long = frame(1, bytes(300))
        for i in range(12):
            await setup.ports.sleep_ms(9000)
            setup.stream.feed(long[i * 25 : i * 25 + 25])
        assert setup.result is None
        error = await setup.until_over()
        # The last bytes after 108 s answered the ping of 102 s; that of 119 s stays without an answer.
        assert error.kind == errors.TIMEOUT and setup.result[1] == 119000 + 10000

    run(test)


def test_pings_keep_their_time_and_measure():
    async def test(setup):
        await setup.start()
        for i in range(1, 4):
            await setup.ports.sleep_ms(17000 - 1 - (40 if i > 1 else 0))
            assert len(setup.stream.frames()) == i - 1
            await setup.ports.sleep_ms(1)
            await setup.settle()
            opcode, payload = setup.stream.frames()[-1]
            assert opcode == 9 and len(setup.stream.frames()) == i
            await setup.ports.sleep_ms(40)
            setup.stream.feed(frame(10, payload))
            await setup.settle()
        assert [arg for _, code, arg in setup.trace.entries() if code == trace.PONG] == [40, 40, 40]
        setup.stream.feed(frame(10, b"nobody asked"))
        await setup.settle()
        assert setup.trace_codes.count(trace.PING) == 3 and setup.trace_codes.count(trace.PONG) == 3

    run(test)


def test_a_peer_that_sends_but_takes_nothing_is_given_up():
    async def test(setup):
        await setup.start()
        setup.stream.room_bytes = 3
        setup.uplink.push(b"stuck")
        while setup.result is None:
            setup.stream.feed(frame(1, b"still talking"))
            await setup.ports.sleep_ms(1000)
        error = setup.result[0]
        assert error.kind == errors.TIMEOUT and "takes no bytes" in error.text
        assert 45000 <= setup.result[1] <= 46000

    run(test)


def test_time_outs_survive_the_wrap_of_the_ticks():
    async def main():
        setup = Setup()
        await setup.start()
        error = await setup.until_over()
        assert error.kind == errors.TIMEOUT and setup.result[1] == 27000 - 5000

    run_stepped(main(), start_ms=-5000)


# Memory


def test_receive_buffers_are_used_again():
    async def test(setup):
        link._spare_buffers.clear()
        seen = []
        for _ in range(3):
            fresh = Setup()
            await fresh.start()
            seen.append(fresh.link._protocol.buf)
            fresh.stream.end()
            await fresh.until_over()
        assert seen[0] is seen[1] and seen[1] is seen[2]

    run(test)


class ThinStream(FakeStream):
    """Takes and gives without a copy, so that only the link's own allocations are counted."""

    def __init__(self):
        super().__init__()
        self.is_thin = False
        self.count = 0
        self.inbox = bytearray(frame(1, bytes(300)))
        self.inbox_bytes = 0
        self.thin_readable = compat.wait_event(self._news)

    def write(self, buf, at, n):
        if not self.is_thin:
            return super().write(buf, at, n)
        self.count += 1
        return n

    def readinto(self, mv):
        if not self.is_thin:
            return super().readinto(mv)
        if self.is_closed:
            return 0
        n = self.inbox_bytes
        if not n:
            return None
        self.inbox_bytes = 0
        for i in range(n):
            mv[i] = self.inbox[i]
        return n


    @property
    def readable(self):
        if not self.is_thin:
            return self._wait_readable()
        self._news.clear()
        return self.thin_readable


class ThinUplink:
    def __init__(self, uplink):
        self.ready = uplink.ready
        self.abort_count = 0
        self.frame = Place(bytes(320))
        self.is_full = False

    def next(self):
        return 1 if self.is_full else 0

    def pop(self):
        self.is_full = False


class ThinSession:
    def __init__(self):
        self.count = 0

    def receive(self, buf, start, n):
        self.count += 1
        return False

    def first_frame_sent(self):
        pass


class ThinCloud:
    def encode_audio_into(self, dst, at, frame):
        return at + frame.n


def test_a_frame_up_and_a_message_down_cost_next_to_no_heap():
    async def test(setup):
        uplink = ThinUplink(setup.uplink)
        session = ThinSession()
        setup.link._uplink = uplink
        setup.link._session = session
        setup.link._cloud = ThinCloud()
        await setup.start()
        stream = setup.stream
        stream.is_thin = True
        stream.feed(b"wakes the reader, is never read")
        await setup.settle()
        meter = HeapMeter()
        sleep_ms = setup.ports.sleep_ms
        n_frames = 160
        for is_idle in (False, True, False):  # the first round warms up, the idle one measures clock and watchdog
            stream.count = session.count = 0
            meter.start()
            for _ in range(n_frames):
                if not is_idle:
                    uplink.is_full = True
                    uplink.ready.set()
                    stream.inbox_bytes = 304
                    stream._news.set()
                await sleep_ms(20)
            n_bytes = meter.stop()
            if is_idle:
                idle_bytes = n_bytes
        assert stream.count == n_frames and session.count == n_frames
        # 64 bytes of chance for 16 mask keys. Under the 32-bit interpreter the stepped clock itself costs a kilobyte a
        # turn, so there only the real sockets tell (tests/test_tls_writes.py).
        assert sys.maxsize < 1 << 32 or (n_bytes - idle_bytes) / n_frames < 40, (n_bytes - idle_bytes) / n_frames

    run(test, ThinStream)
