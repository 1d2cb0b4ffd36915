"""The command line: one start for everything, or each process by itself."""
