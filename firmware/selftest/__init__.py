"""A board tests itself: pins, sound, network, and what the simulator claims of the hardware. See runner.py."""
