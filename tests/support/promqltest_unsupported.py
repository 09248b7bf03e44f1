"""What Prometheus' test scripts ask for and the console's evaluator does not have, as data.

Keyed by the reason that the evaluator (or the harness) gives; the value says in which scripts of the suite it
occurs and why it is left out. A reason that is not here fails the test, and so does an entry whose script
is present and does not give the reason any more.
"""

UNSUPPORTED: dict[str, tuple[tuple[str, ...], str]] = {
    "unsupported PromQL: the modifier anchored": (
        ("extended_vectors.test",),
        "experimental in Prometheus 3.7, behind a feature flag; promql-parser cannot read it",
    ),
    "unsupported PromQL: the modifier smoothed": (
        ("extended_vectors.test",),
        "experimental in Prometheus 3.7, behind a feature flag; promql-parser cannot read it",
    ),
    "unsupported PromQL: duration expressions": (
        ("duration_expression.test",),
        "experimental, behind a feature flag; promql-parser cannot read them",
    ),
    "unsupported PromQL: function info()": (
        ("info.test",),
        "experimental, behind a feature flag; our families have no info metrics to join",
    ),
    "unsupported PromQL: the trim operators </ and >/ of native histograms": (
        ("native_histograms.test",),
        "native histograms are outside what the console keeps",
    ),
    "harness: start timestamps": (
        ("start_timestamps.test",),
        "experimental, behind a feature flag; our store keeps no start timestamps",
    ),
}
