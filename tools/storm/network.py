"""TCP in memory between the speaker and whoever answers, and the weather that spoils it.

    speaker ── Connection (a Stream, firmware/net/stream.py) ──► up   Way ──► far end .on_bytes .on_end
                                                            ◄── down Way ◄── far end  Connection.send .finish .reset

Bytes never change and never swap places, as in TCP. What can happen to them: they come late, in any split, not at all
for a while, not at all for ever, or the connection is cut. Everything is drawn from one seeded generator.
"""

import errno
from collections import deque

from firmware import errors
from firmware.errors import LinkError

SEGMENT_BYTES = 1440  # what one packet of a Wi-Fi network carries
SEND_BUFFER_BYTES = 5760  # lwIP's default on the ESP32: four segments each way
WINDOW_BYTES = 5760
TLS_ROUND_TRIPS = 2
_NO_ANSWER = "%s does not answer: check cloud_url and the router's way to the internet"


class Weather:
    """How the network is at present; the plans turn these knobs, and turn them back.

    latency_ms, jitter_ms   one way; the jitter is drawn anew for each packet
    bytes_per_s             of each direction, 0: no limit
    is_split                packets arrive in pieces of 1 byte and more, writes are taken in part
    stalls                  how many faults hold everything back now
    dns                     "ok", "fails" or ms for which a look-up blocks the speaker (and then succeeds)
    door                    what a new connection meets: "ok", "refused", "silent", "tls" (the handshake fails),
                            "portal" (a captive portal answers)
    """

    def __init__(self):
        self.latency_ms = 15
        self.jitter_ms = 5
        self.bytes_per_s = 0
        self.is_split = False
        self.stalls = 0
        self.dns = "ok"
        self.door = "ok"


class Way:
    """One direction of a connection."""

    def __init__(self, network, deliver):
        self._network = network
        self._clock = network.clock
        self._deliver = deliver  # called with what arrives: bytes, or END or RESET
        self._flying = deque()  # (due, what)
        self._is_booked = False
        self._busy_until_us = 0
        self._last_us = 0
        self.flying_bytes = 0
        self.is_dead = False  # what is put in vanishes

    def put(self, what):
        """Bytes (at most a segment), END or RESET on their way."""
        clock = self._clock
        weather = self._network.weather
        now_us = clock._now_us
        size = len(what) if isinstance(what, bytes) else 40
        if weather.bytes_per_s:
            self._busy_until_us = max(now_us, self._busy_until_us) + size * 1_000_000 // weather.bytes_per_s
            now_us = self._busy_until_us
        due_us = now_us + 1000 * weather.latency_ms
        if weather.jitter_ms:
            due_us += self._network.rng.randrange(1000 * weather.jitter_ms + 1)
        self._last_us = due_us = max(due_us, self._last_us)
        if isinstance(what, bytes):
            self.flying_bytes += size
        self._flying.append((due_us, what))
        self._book()

    def _book(self):
        if not self._is_booked and self._flying:
            self._is_booked = True
            self._clock.at(self._flying[0][0], self._arrive)

    def _arrive(self):
        self._is_booked = False
        if self._network.is_stalled:
            return  # whoever ends the stall calls go_on()
        flying = self._flying
        now_us = self._clock._now_us
        while flying and flying[0][0] <= now_us:
            what = flying.popleft()[1]
            if isinstance(what, bytes):
                self.flying_bytes -= len(what)
            if not self.is_dead:
                self._deliver(what)
        self._book()

    def go_on(self):
        self._book()


END = "end"
RESET = "reset"


class Network:
    """clock; rng: random.Random; answer(door) -> the far end of a new connection, with bind(connection).

    on_attempt(): somebody tries to connect.
    """

    def __init__(self, clock, loop, rng, answer):
        self.clock = clock
        self.loop = loop
        self.rng = rng
        self.answer = answer
        self.weather = Weather()
        self.connections = []
        self.is_wifi_up = True
        self.on_attempt = None
        self.counts = {"connections": 0, "bytes_up": 0, "bytes_down": 0, "look-ups": 0}

    @property
    def is_stalled(self):
        return self.weather.stalls > 0 or not self.is_wifi_up

    # What plans do

    def stall(self, is_stalled):
        self.weather.stalls += 1 if is_stalled else -1
        self._go_on()

    def set_wifi(self, is_up):
        """The radio link: while it is gone nothing travels, and no error says so."""
        self.is_wifi_up = is_up
        self._go_on()

    def _go_on(self):
        if not self.is_stalled:
            for connection in self.connections:
                connection.up.go_on()
                connection.down.go_on()

    def forget(self):
        """What a router does that restarts, or an address that changes: every connection is a hole from now on."""
        for connection in self.connections:
            connection.up.is_dead = connection.down.is_dead = True

    def reset_all(self):
        """Each end of every connection hears of a reset, one way later."""
        for connection in list(self.connections):
            connection.up.put(RESET)
            connection.down.put(RESET)

    # The ports

    def resolve(self, host, port):
        self.counts["look-ups"] += 1
        dns = self.weather.dns
        if not self.is_wifi_up or dns == "fails":
            self.clock.sleep_us(1_000_000 if self.is_wifi_up else 1000)
            raise LinkError(
                "no address for %s: check the host name in cloud_url and the DNS of the network" % host, errors.DNS
            )
        self.clock.sleep_us(1000 * (dns if isinstance(dns, int) else 2 * self.weather.latency_ms))
        return ("address of", host, port)

    async def connect(self, address, host, tls, timeout_ms):
        if self.on_attempt is not None:
            self.on_attempt()
        until_us = self.clock.now_us() + 1000 * timeout_ms
        if not self.is_wifi_up:
            raise LinkError("no way to %s: this device has no network" % host, errors.CONNECT, errno.ENETUNREACH)
        await self._travel(1, until_us, host)
        door = self.weather.door
        if door == "silent":
            await self._sleep_until(until_us)
            raise LinkError(_NO_ANSWER % host, errors.TIMEOUT, errno.ETIMEDOUT)
        if door == "refused":
            text = "%s refuses connections on this port: check cloud_url, or the service is down" % host
            raise LinkError(text, errors.CONNECT, errno.ECONNREFUSED)
        if tls is not None:
            await self._travel(TLS_ROUND_TRIPS, until_us, host)
            if door == "tls":
                raise LinkError("the certificate is not made out to %s: check cloud_url" % host, errors.TLS)
        self.counts["connections"] += 1
        connection = Connection(self, host)
        far = self.answer(door)
        connection.far = far
        far.bind(connection)
        self.connections.append(connection)
        return connection

    async def _travel(self, round_trips, until_us, host):
        weather = self.weather
        for _ in range(2 * round_trips):
            due_us = self.clock.now_us() + 1000 * (weather.latency_ms + self.rng.randrange(weather.jitter_ms + 1))
            while self.is_stalled and due_us <= until_us:
                due_us += 100_000  # asked again ten times a second: nothing else can happen to a handshake
                await self._sleep_until(min(due_us, until_us))
            await self._sleep_until(min(due_us, until_us))
            if due_us > until_us:
                raise LinkError(_NO_ANSWER % host, errors.TIMEOUT, errno.ETIMEDOUT)

    async def _sleep_until(self, due_us):
        await self.loop.sleep_ms(max(1, (due_us - self.clock.now_us() + 999) // 1000))


class Connection:
    """The speaker's end: the contract of firmware/net/stream.py. For the far end: send(), finish(), reset()."""

    def __init__(self, network, host):
        self.network = network
        self.far = None
        self.up = Way(network, self._far_hears)
        self.down = Way(network, self._near_hears)
        self.is_closed = False
        self.is_far_over = False  # the far end has finished or was reset: it hears nothing more
        self._host = host
        self._error = None
        self._inbox = bytearray()  # arrived, not read yet
        self._at = 0  # and how much of its head was read
        self._is_ended = False
        self._outbox = deque()  # of the far end: what waits for the window
        self._sent_bytes = 0  # by the far end
        self._arrived_bytes = 0
        self._marks = deque()  # (sent bytes, function)
        self._full_since_us = None
        self._full_us = 0
        self.unread_since_us = None  # the inbox holds something, and nobody has read since then
        self.readable = _Wait(self, self._is_readable)
        self.writable = _Wait(self, self._is_writable)

    # The speaker's side

    @property
    def full_ms(self):
        """How long altogether the far end had something to send and the speaker's unread bytes stood in its way."""
        under_way_us = 0 if self._full_since_us is None else self.network.clock._now_us - self._full_since_us
        return (self._full_us + under_way_us) // 1000

    def readinto(self, mv):
        if self.is_closed:
            return 0
        if self._error is not None:
            raise self._error
        n = min(len(mv), len(self._inbox) - self._at)
        if not n:
            return 0 if self._is_ended else None
        mv[:n] = self._inbox[self._at : self._at + n]
        self._at += n
        self.unread_since_us = self.network.clock._now_us
        if self._at == len(self._inbox):
            self._inbox.clear()
            self._at = 0
            self.unread_since_us = None
        if self._full_since_us is not None and len(self._inbox) - self._at < WINDOW_BYTES // 2:
            self._full_us += self.network.clock._now_us - self._full_since_us
            self._full_since_us = None
        if self._outbox:
            self._pump()
        return n

    def write(self, buf, at, n):
        if self.is_closed:
            raise LinkError("the connection to %s is closed" % self._host)
        if self._error is not None:
            raise self._error
        room = SEND_BUFFER_BYTES - self.up.flying_bytes
        if room <= 0:
            return None
        n = min(n, room)
        network = self.network
        if network.weather.is_split and n > 1:
            n = network.rng.randint(1, n)
        network.counts["bytes_up"] += n
        whole = bytes(memoryview(buf)[at : at + n])
        if self.up.is_dead:
            self._vanish(whole)
            return n
        for piece in _pieces(whole, network):
            self.up.put(piece)
        return n

    def _vanish(self, data):
        # Nobody acknowledges: the send buffer fills up and stays full.
        self.up.flying_bytes += len(data)

    def close(self):
        if not self.is_closed:
            self.is_closed = True
            self._inbox.clear()
            self._outbox.clear()
            if not self.is_far_over:
                self.up.put(END)
            self._wake()
            self._leave()

    def _leave(self):
        if self.is_closed and self.is_far_over and self in self.network.connections:
            self.network.connections.remove(self)

    def _is_readable(self):
        return self._at < len(self._inbox) or self._is_ended or self._error is not None or self.is_closed

    def _is_writable(self):
        return self.up.flying_bytes < SEND_BUFFER_BYTES or self._error is not None or self.is_closed

    def _near_hears(self, what):
        if self.is_closed:
            return
        if what is RESET:
            self._inbox.clear()
            self._at = 0
            self._error = LinkError("%s cut the connection: try again" % self._host, errors.CONNECT, errno.ECONNRESET)
        elif what is END:
            self._is_ended = True
        else:
            self._inbox += what
            if self._outbox:
                self._note_full()
            if self.unread_since_us is None:
                self.unread_since_us = self.network.clock._now_us
            self._arrived_bytes += len(what)
            while self._marks and self._marks[0][0] <= self._arrived_bytes:
                self._marks.popleft()[1]()
            self.network.counts["bytes_down"] += len(what)
        self.readable.wake()
        if self._error is not None:
            self.writable.wake()

    def _wake(self):
        self.readable.wake()
        self.writable.wake()

    # The far end's side

    def _far_hears(self, what):
        if not self.is_far_over:
            if what is RESET or what is END:
                self.is_far_over = True
                self._outbox.clear()
                if what is END and not self.is_closed:
                    self.down.put(END)
                self.far.on_end(what is RESET)
                self._leave()
            else:
                self.far.on_bytes(what)
        if not self.is_closed:
            self.writable.wake()

    def send(self, data, on_arrival=None):
        """Bytes for the speaker; taken always, sent as its window allows. on_arrival(): its network has them all."""
        if not self.is_far_over:
            self._sent_bytes += len(data)
            if on_arrival is not None:
                self._marks.append((self._sent_bytes, on_arrival))
            for piece in _pieces(data, self.network):
                self._outbox.append(piece)
            self._pump()

    def finish(self):
        """No more will be sent; what was sent still arrives."""
        if not self.is_far_over:
            self.is_far_over = True
            self._outbox.append(END)
            self._pump()
            self._leave()

    def reset(self):
        """Cut: the speaker hears of it as soon as the packet arrives, ahead of what it has not read."""
        if not self.is_far_over:
            self.is_far_over = True
            self._outbox.clear()
            self.down.put(RESET)
            self._leave()

    def _note_full(self):
        if self._full_since_us is None and len(self._inbox) - self._at >= WINDOW_BYTES // 2:
            self._full_since_us = self.network.clock._now_us

    def _pump(self):
        outbox = self._outbox
        down = self.down
        while outbox:
            what = outbox[0]
            if isinstance(what, bytes):
                if down.flying_bytes + len(self._inbox) - self._at + len(what) > WINDOW_BYTES:
                    self._note_full()
                    if down.is_dead or down.flying_bytes or self._inbox:
                        return
            outbox.popleft()
            down.put(what)


def _pieces(data, network):
    """`data` in segments, or in any split."""
    if not network.weather.is_split:
        if len(data) <= SEGMENT_BYTES:
            return (data,)
        return [data[i : i + SEGMENT_BYTES] for i in range(0, len(data), SEGMENT_BYTES)]
    pieces = []
    at = 0
    while at < len(data):
        # Mostly small: cuts inside a frame's header and inside a base64 group are the ones that hurt.
        most = network.rng.choice((1, 2, 8, 64, SEGMENT_BYTES))
        n = network.rng.randint(1, most)
        pieces.append(data[at : at + n])
        at += n
    return pieces


class _Wait:
    """Awaitable again and again, by one task at a time."""

    def __init__(self, connection, is_due):
        self._loop = connection.network.loop
        self._is_due = is_due
        self._future = None

    def __await__(self):
        if not self._is_due():
            self._future = self._loop.create_future()
            try:
                yield from self._future
            finally:
                self._future = None

    def wake(self):
        future = self._future
        if future is not None and not future.done() and self._is_due():
            future.set_result(None)
