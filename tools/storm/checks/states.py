"""Promise 4: no state but idle outlives its deadline, and after the last fault the next press gets a turn."""

from firmware import trace as tr
from firmware.compat import ticks_diff
from firmware.session import table

from . import Check

_SLACK_MS = 500
RECOVERY_MS = 30_000
_ANSWER_MS = 8000  # a question asked so long before the end, and the length of an answer, has been answered by then


class States(Check):
    number = 4

    def __init__(self, run):
        super().__init__(run)
        self._limits = self._state_limits()
        self._state = ""
        self._since_ms = 0
        self._blocked_us = 0
        self._seen_bytes = 0
        self._calm_presses = []  # t_ms of presses that must be answered

    def _state_limits(self):
        """ms that each state may last without an event, as the settings promise it; 0: for ever."""
        config = self.run.config
        is_free = config.mode == "free"
        calling_ms = config.press_wait_ms
        return {
            table.OFFLINE: 11 * config.retry_max_ms,
            table.CONNECTING: config.wifi_timeout_ms + config.clock_timeout_ms + config.connect_timeout_ms + 5000,
            table.CALLING: calling_ms,
            table.CALLING_TAIL: calling_ms,
            table.WAITING: calling_ms,
            table.IDLE: config.keep_link_ms,
            table.LISTENING: config.free_idle_ms if is_free else config.listen_max_ms,
            table.TAIL: config.tail_ms + 1000,
            table.THINKING: config.answer_wait_ms,
            table.SPEAKING: config.stall_ms,
            table.FINISHING: config.stall_ms,
        }

    def on_report(self, report):
        if report["kind"] == "state":
            self._state = report["state"]
            self._restart()
        elif report["kind"] == "tool":
            self._restart()
        elif report["kind"] == "error" and report["error_kind"] == "bug" and not self._is_forced(report["text"]):
            self.violate("a part of the speaker died: %s" % report["text"][-1500:])
        elif report["kind"] == "turn":
            self._on_turn(report)

    def _is_forced(self, text):
        return self.run.allows_memory_errors and "MemoryError" in text

    def on_trace(self, code, arg):
        if code == tr.EVENT:
            self._restart()

    def _restart(self):
        self._since_ms = self.run.clock.now_ms
        self._blocked_us = self.run.clock.blocked_us

    def on_tick(self):
        if self._state in (table.SPEAKING, table.FINISHING):
            player = self.run.speaker.player
            progress = player.bytes_in + player.samples_played
            if progress != self._seen_bytes:
                self._seen_bytes = progress
                self._restart()
        limit_ms = self._limits.get(self._state, 0)
        if not limit_ms:
            return
        blocked_ms = (self.run.clock.blocked_us - self._blocked_us) // 1000
        lasted_ms = self.run.clock.now_ms - self._since_ms
        if lasted_ms > limit_ms + _SLACK_MS + blocked_ms:
            self.violate("the state %s lasts for %d ms without an event; %d are allowed"
                         % (self._state, lasted_ms, limit_ms))

    # Recovery

    def _on_turn(self, report):
        run = self.run
        began_ms = run.clock.now_ms - ticks_diff(report["t_ms_device"], report["began_ms"])
        if run.calm_from_ms is None or began_ms < run.calm_from_ms + RECOVERY_MS:
            return
        if report["outcome"] in ("failed", "cut"):
            self.violate("%d s after the last fault a question still is %s"
                         % ((began_ms - run.calm_from_ms) // 1000, report["outcome"]))

    def on_end(self):
        run = self.run
        if run.calm_from_ms is None:
            return
        least_ms = run.calm_from_ms + RECOVERY_MS
        latest_ms = run.clock.now_ms - _ANSWER_MS - run.stage.answer_ms[1]
        asked = [t for t in run.person.questions if least_ms <= t <= latest_ms]
        if asked and not any(turn["outcome"] == "answered" and turn["t_ms"] >= asked[0] for turn in run.turns):
            self.violate("no question asked later than 30 s after the last fault was answered")
