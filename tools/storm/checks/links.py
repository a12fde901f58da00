"""Promise 6 (and the conversation's part of 4): pings are answered in time, reconnecting is no storm, and every
connection goes on with the same conversation."""

from firmware import trace as tr

from . import Check

PONG_MS = 5000
_SLACK_MS = 500
_ATTEMPTS_A_MINUTE = 40  # a person who presses all the time included
_OWN_ATTEMPTS_A_MINUTE = 14  # of the speaker's own accord


class Links(Check):
    number = 6

    def __init__(self, run):
        super().__init__(run)
        self._pings = {}  # (far end, payload) -> (t_ms, disturbances until then, blocked_us)
        self._unarrived = {}  # (far end, payload) -> (connection, its full_ms when the ping was sent)
        self._attempts = []  # (t_ms, was it a press that asked for it)
        self._is_pressed = False
        self._conversation = ""
        self._refusals_seen = 0
        self.worst_pong_ms = 0
        self._unread_us = None
        self._blocked_before_us = 0

    # Pings

    def on_ping_sent(self, far, connection, payload):
        self._unarrived[far, bytes(payload)] = (connection, connection.full_ms)

    def on_ping(self, far, payload):
        run = self.run
        self._unarrived.pop((far, bytes(payload)), None)
        self._pings[far, bytes(payload)] = (run.clock.now_ms, run.disturbances, run.clock.blocked_us)

    def on_pong(self, far, payload):
        asked = self._pings.pop((far, bytes(payload)), None)
        if asked is None:
            return
        if asked[1] == self.run.disturbances and not self.run.is_disturbed:
            self.worst_pong_ms = max(self.worst_pong_ms, self.run.clock.now_ms - asked[0])
        # Only the newest of several pings needs an answer (RFC 6455 5.5.3).
        for key in [key for key, one in self._pings.items() if key[0] is far and one[0] <= asked[0]]:
            del self._pings[key]

    def on_tick(self):
        now_ms = self.run.clock.now_ms
        for key in list(self._pings):
            far, payload = key
            t_ms, disturbances, blocked_us = self._pings[key]
            if far.is_over or disturbances != self.run.disturbances or self.run.is_disturbed:
                del self._pings[key]  # the network stood in between
                continue
            blocked_ms = (self.run.clock.blocked_us - blocked_us) // 1000
            if now_ms - t_ms > PONG_MS + _SLACK_MS + blocked_ms:
                del self._pings[key]
                self.violate("a ping has no pong after %d ms, and nothing was wrong with the network"
                             % (now_ms - t_ms))

        for key, (connection, full_ms) in list(self._unarrived.items()):
            if key[0].is_over or connection.is_closed:
                del self._unarrived[key]
            elif connection.full_ms - full_ms > PONG_MS:
                self.violate("a ping waits for %d ms behind bytes that are not read" % (connection.full_ms - full_ms))
        self._check_reading()

    def _check_reading(self):
        now_us = self.run.clock._now_us
        for connection in self.run.network.connections:
            since_us = connection.unread_since_us
            if since_us is None or connection.is_closed:
                continue
            pause_ms = (now_us - since_us) // 1000
            if pause_ms > self.run.config.ring_full_wait_ms + _SLACK_MS and pause_ms > self._blocked_ms_since(since_us):
                self.violate("bytes lie unread in the socket for %d ms" % pause_ms)

    def _blocked_ms_since(self, since_us):
        # Blocked time is known as a sum only: what was blocked before does not count.
        if since_us != self._unread_us:
            self._unread_us = since_us
            self._blocked_before_us = self.run.clock.blocked_us
        blocked_us = self.run.clock.blocked_us - self._blocked_before_us
        return blocked_us // 1000 + self.run.config.ring_full_wait_ms + _SLACK_MS

    # Attempts

    def on_trace(self, code, arg):
        if code == tr.PRESS:
            self._is_pressed = True

    def on_attempt(self):
        now_ms = self.run.clock.now_ms
        self._attempts.append((now_ms, self._is_pressed))
        self._is_pressed = False
        self._attempts = [one for one in self._attempts if one[0] > now_ms - 60_000]
        own = sum(not is_pressed for _, is_pressed in self._attempts)
        if len(self._attempts) > _ATTEMPTS_A_MINUTE or own > _OWN_ATTEMPTS_A_MINUTE:
            self.violate("%d attempts to connect within a minute, %d of its own accord" % (len(self._attempts), own))

    # The conversation

    def on_message(self, far, message):
        if message.get("event_type") != "chat.update":
            return
        wanted = message["data"].get("chat_config", {}).get("conversation_id", "")
        given = self.run.conversation_id
        if given and wanted != given:
            self.number = 4
            self.violate("the conversation %s was lost in a reconnect: asked for %r" % (given, wanted))
