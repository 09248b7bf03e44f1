"""Whether the demo, a package of its own, is installed."""

from __future__ import annotations

from importlib.util import find_spec

from tachograph.errors import TachographError


def check_demo() -> None:
    """See, before anything is started, that the demo and all that it runs are there.

    Raises:
        TachographError: It is not installed, or a package that it needs is not.
    """
    if find_spec("tachograph_demo") is None:
        raise TachographError(
            "the demo is a package of its own, tachograph-demo, which is not installed",
            do="In a clone of the repository run `make demo`, or install it: pip install ./demo. Elsewhere: "
            "pip install 'tachograph[demo]'",
        )
    from tachograph_demo import check_installed

    check_installed()
