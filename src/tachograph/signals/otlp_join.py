"""Our families in what the readers of the application's MeterProvider collect.

The SDK has no public way to add data at a collection: no MetricProducer, and no instrument takes buckets that are
counted already (docs/decisions/0108). So each reader's collect callback is wrapped, by private names of the SDK, here
and nowhere else. The names are those of opentelemetry-sdk 1.30 to 1.45; where one is missing, nothing is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tachograph.errors import TachographError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
    from opentelemetry.sdk.resources import Resource


class UnknownSdkError(TachographError):
    """The installed OpenTelemetry SDK keeps its readers otherwise than this version supports."""

    def __init__(self, missing: AttributeError) -> None:
        from opentelemetry.sdk.version import __version__

        super().__init__(
            f"opentelemetry-sdk {__version__} is newer than this version of Tachograph supports ({missing}): our "
            "metrics do not join those of your MeterProvider. Scrape /metrics, or install opentelemetry-sdk 1.45."
        )


def readers_of(provider: MeterProvider) -> tuple[Iterable[MetricReader], Resource]:
    """The readers that a MeterProvider has now, and its resource.

    Raises:
        UnknownSdkError: A private name is not there.
    """
    try:
        consumer: Any = provider._measurement_consumer
        return list(consumer._reader_storages), provider._sdk_config.resource
    except AttributeError as missing:
        raise UnknownSdkError(missing) from missing


def wrap_collection(
    reader: MetricReader,
    before: Callable[[], object],
    change: Callable[[MetricsData | None], MetricsData | None],
) -> bool:
    """Call `before` before each collection of a reader and hand it what `change` makes of the data; whether it is so.

    Raises:
        UnknownSdkError: A private name is not there.
    """
    try:
        original: Any = reader._collect
        replace: Any = reader._set_collect_callback
    except AttributeError as missing:
        raise UnknownSdkError(missing) from missing
    if original is None:  # not registered yet
        return False

    def collect(asking: object, timeout_millis: float = 10_000) -> object:
        before()
        return change(original(asking, timeout_millis=timeout_millis))

    replace(collect)
    return True
