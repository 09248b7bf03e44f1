"""The version of the demo; it goes with the release of tachograph that has the same one (a test compares them)."""

__version__ = "0.1.0"
