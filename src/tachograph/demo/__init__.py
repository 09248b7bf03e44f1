"""Where the demo was until 2026-11: it is a package of its own now, `tachograph_demo`. Goes with the next release."""
