"""The promises, as small checkers that are fed as things happen: each looks at one of them and knows nothing else.

A Check overrides the hooks it needs. `self.run` is run.Run; `self.violate(text)` ends the run at once.
"""


class Check:
    """number: of the promise in the README."""

    number = 0

    def __init__(self, run):
        self.run = run

    def violate(self, text):
        self.run.violate(self.number, text)

    # Hooks

    def on_trace(self, code, arg):
        """The speaker wrote this into its event trace."""

    def on_report(self, report):
        """The speaker told this on its serial port: a dict with `kind`."""

    def on_line(self, line):
        """The same as the line of text that left."""

    def on_message(self, far, message):
        """A JSON message of the speaker arrived at the far end `far`."""

    def on_dac(self, first, rate_hz, samples):
        """These samples (an array of int16, some of them not zero) left the loudspeaker from number `first` on."""

    def on_ping_sent(self, far, connection, payload):
        """The cloud put a ping behind whatever else it has to send."""

    def on_ping(self, far, payload):
        """A ping of the cloud arrived at the speaker's socket."""

    def on_pong(self, far, payload):
        """A pong arrived at the cloud."""

    def on_attempt(self):
        """The speaker begins to connect."""

    def on_tick(self):
        """Ten times a second of stepped time."""

    def on_end(self):
        """The run is over, the speaker still there."""


def all_checks():
    """The classes of all checkers."""
    from . import answers, links, memory, questions, secrets, states

    return (questions.Questions, answers.Answers, states.States, memory.Memory, links.Links, secrets.Secrets)
