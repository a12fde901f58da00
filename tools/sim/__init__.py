"""The simulator: the unchanged firmware in a child process, among stand-ins for the hardware. Never on a board."""
