"""Which answer may be heard: every race between an interruption and an answer on its way (coze.md 5.5, 5.6)."""

from check import Clock

from firmware.clouds.turns import DEAD, KNOWN, LIVE, Turns


class Book(Turns):
    """Turns with a clock of its own, and audio asked for by the id's text."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()

    def audio(self, turn_id):
        name = turn_id.encode()
        return self.is_live(bytearray(b"<" + name + b">"), 1, len(name), self.clock.ms)

    def start(self, turn_id):
        return self.created(turn_id.encode(), self.clock.ms)

    def ask(self):
        self.owe(self.clock.ms)

    def stop(self):
        return self.interrupt(self.clock.ms)

    def acknowledged(self, is_ours=True):
        return self.canceled(is_ours, self.clock.ms)


def speaking(turn_id="one"):
    book = Book()
    book.ask()
    assert book.start(turn_id) == LIVE
    assert book.audio(turn_id)
    return book


def test_a_turn_is_live_from_its_start_to_the_next():
    book = speaking()
    assert book.done(b"one") and book.audio("one")  # late audio of a finished turn is still its audio
    book.ask()
    assert book.start("two") == LIVE
    assert book.audio("two") and book.start("two") == KNOWN


def test_audio_of_an_interrupted_turn_is_dead_for_ever():
    book = speaking()
    assert book.stop()
    assert not book.audio("one")
    assert not book.acknowledged()
    book.clock.advance(60_000)
    assert not book.audio("one")
    assert not book.done(b"one")


def test_nothing_is_cancelled_when_nothing_runs():
    book = Book()
    assert not book.stop()
    book = speaking()
    book.done(b"one")
    assert not book.stop()
    assert not book.audio("one")


def test_a_question_interrupted_before_its_answer_has_a_name_is_dead_on_arrival():
    book = Book()
    book.ask()
    assert not book.stop()  # nothing runs yet, so there is nothing to cancel
    book.ask()
    assert book.start("one") == DEAD  # the caller cancels it now
    assert not book.audio("one")
    assert book.start("two") == LIVE
    assert book.audio("two") and not book.audio("one")


def test_two_quick_interruptions_kill_two_turns():
    book = speaking("one")
    book.stop()
    book.ask()
    book.start("two")
    book.stop()
    book.ask()
    book.start("three")
    assert not book.audio("one") and not book.audio("two") and book.audio("three")


def test_a_late_acknowledgement_does_not_kill_the_next_turn():
    book = speaking()
    book.stop()
    book.ask()
    book.start("two")
    assert not book.acknowledged(is_ours=False)  # some clouds give no reason
    assert book.audio("two")


def test_a_missing_acknowledgement_is_forgotten_in_time():
    book = speaking()
    book.stop()
    book.ask()
    book.start("two")
    book.clock.advance(10_001)
    assert book.acknowledged(is_ours=False)  # this one stops the turn that runs
    assert not book.audio("two")


def test_audio_without_a_name_is_dead_while_the_gate_is_up():
    book = Book()
    assert book.audio("")  # a prologue
    book.stop()
    assert not book.audio("")
    book.clock.advance(5_000)
    assert not book.audio("")  # residue holds the gate
    book.clock.advance(5_000)
    assert not book.audio("")
    book.clock.advance(6_001)
    assert book.audio("")


def test_the_gate_opens_for_a_new_turn_and_for_the_acknowledgement():
    book = speaking()
    book.stop()
    book.acknowledged()
    assert book.audio("")
    book = speaking()
    book.stop()
    book.ask()
    book.start("two")
    assert book.audio("")


def test_audio_that_comes_before_its_created_is_adopted_once():
    book = Book()
    book.ask()
    assert book.audio("one")
    assert book.start("one") == KNOWN
    book.ask()
    book.stop()
    assert not book.audio("two") and not book.audio("one")


def test_a_question_that_never_gets_an_answer_does_not_cost_the_next_one():
    book = Book()
    book.ask()
    book.stop()
    book.clock.advance(10_001)
    book.ask()
    assert book.start("two") == LIVE


def test_an_answer_that_was_waited_for_in_vain_does_not_cost_the_next_ones():
    """It would otherwise be confounded with the next question's, that with the one after it, and so on."""
    book = Book()
    for question in (b"one", b"two", b"three"):
        book.ask()
        book.give_up(book.clock.ms)
    assert book.start("three") == DEAD, "it is silent as long as nothing else was asked"
    book.ask()
    assert book.start("four") == LIVE and book.audio("four")


def test_an_error_does_not_revive_the_answer_to_an_interrupted_question():
    book = Book()
    book.ask()
    book.stop()
    assert not book.unanswered(), "nobody waits for it"
    assert book.start("one") == DEAD and not book.audio("one"), "the cloud answers all the same"
    book.ask()
    book.stop()
    assert not book.unanswered()
    book.ask()
    assert book.start("three") == LIVE, "and a failed one does not cost the next"
    book.ask()
    assert book.done(b"three") and book.unanswered()


def test_the_book_is_bounded_whatever_the_cloud_says():
    book = Book()
    for i in range(300):
        book.ask()
        book.start("turn%d" % i)
        book.stop()
        book.speech_stopped(book.clock.ms)
        book.clock.advance(1)
    assert max(len(book._dead), len(book._owed), len(book._due)) <= 16


def test_an_empty_transcript_settles_what_is_owed():
    book = Book()
    book.ask()
    assert book.transcript(True, True)
    book.ask()
    assert book.start("one") == LIVE


def test_a_transcript_never_stands_before_the_wrong_answer():
    book = Book()
    book.ask()
    book.stop()
    book.ask()
    assert not book.transcript(False, False)
    assert not book.transcript(True, False)  # of the first, interrupted question
    assert book.transcript(False, False) and book.transcript(True, False)


def test_free_talk_speech_over_an_answer_kills_it_and_the_next_answer_lives():
    book = Book()
    book.speech_stopped(0)
    book.start("one")
    book.stop()  # speech started
    assert not book.audio("one")
    assert not book.acknowledged(is_ours=False)
    book.speech_stopped(0)
    assert book.start("two") == LIVE and book.audio("two")


def test_free_talk_speech_before_the_answer_does_not_kill_the_answer_to_both():
    book = Book()
    book.speech_stopped(0)
    book.stop()  # the user went on speaking
    book.speech_stopped(0)
    assert book.start("one") == LIVE


def test_a_new_connection_owes_nothing_but_the_dead_stay_dead():
    book = speaking()
    book.stop()
    book.ask()
    book.reset()
    assert book.start("two") == LIVE
    assert not book.audio("one")
