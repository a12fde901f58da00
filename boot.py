# Runs before main.py at every start, whatever is on the disk. It imports nothing of the application, so that a broken
# application can never keep the board from answering over USB: Ctrl-C reaches the REPL at any time.
import gc

gc.collect()
