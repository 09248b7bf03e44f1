"""What a query can fail with; the HTTP API maps each to Prometheus' error type."""

from __future__ import annotations


class PromQLError(Exception):
    """A query that parsed and could not be evaluated (HTTP 422, errorType `execution`)."""

    error_type = "execution"
    status = 422


class PromQLSyntaxError(PromQLError):
    """A query that is not PromQL, or has wrong types (HTTP 400, errorType `bad_data`)."""

    error_type = "bad_data"
    status = 400


class PromQLUnsupported(PromQLError):
    """A query that is PromQL and uses a part this evaluator does not have; the message names the part."""


class PromQLTimeout(PromQLError):
    """A query that ran past its deadline (HTTP 503, errorType `timeout`)."""

    error_type = "timeout"
    status = 503
