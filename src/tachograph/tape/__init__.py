"""The tape: takes finished records from the application's threads; one thread of ours delivers them in batches."""

from tachograph.tape.tape import TAPE, Tape

__all__ = ["TAPE", "Tape"]
