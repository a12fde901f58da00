"""Tools that talk to a board over its serial port: doctor, flash, image, deploy, provision, monitor, selftest.

`ports` finds and opens the port, `repl` speaks MicroPython's raw REPL when no application runs or after it was ended
in an orderly way, `console` speaks with the running application. Everything else stands on these three.
"""
