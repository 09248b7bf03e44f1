"""One settings object, from code, environment and file: `load()` reads, checks and refuses.

A section is one file here with one frozen msgspec Struct; its fields are `TACHOGRAPH_<SECTION>_<FIELD>` in the
environment and `[tool.tachograph.<section>]` (or `[<section>]` in tachograph.toml) in files.
"""

from tachograph.settings.load import Settings, load

__all__ = ["Settings", "load"]
