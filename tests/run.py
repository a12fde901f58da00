"""All tests in the order in which they disturb each other least: `make test`, or python tests/run.py [pytest options].

    compute        on all cores: they only compute
    real_time      two at a time: a speaker process with sound, sockets and a clock of its own
    conversation   alone, for they play a dozen speakers at once themselves
"""

import subprocess
import sys

ROUNDS = (
    ("tests that only compute, two at a time", "not real_time", ("-n", "2", "--dist", "loadfile")),
    ("tests that live by the clock, two at a time", "real_time and not conversation", ("-n", "2", "--dist", "loadfile")),
    ("conversations, a dozen speakers at a time", "conversation", ()),
)
_NOTHING_COLLECTED = 5


def main(options):
    """Exit code of the first round that fails; pytest's 5 when the options picked no test at all."""
    codes = []
    for title, mark, spread in ROUNDS:
        print("== " + title, flush=True)
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *spread, "-m", mark, *options], check=False)
        codes.append(done.returncode)
        if done.returncode not in (0, _NOTHING_COLLECTED):
            return done.returncode
    return min(codes)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
