"""Start the speaker. On a board this runs by itself after boot.py; the simulator runs the very same file."""

from firmware import start

exit_code = start.main()
