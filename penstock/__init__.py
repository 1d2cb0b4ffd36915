"""The command line: one start for everything, or each process by itself."""

__version__ = "0.1.0"
