"""What the dashboards share: selectors, variables, annotations, colours."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.panels import Annotation, Panel, PanelRow, Threshold, Top, Variable

TARGET: Final = 'job=~"$job",instance=~"$instance"'
PROVIDER: Final = f'{TARGET},provider=~"$provider"'
MODEL: Final = f'{PROVIDER},model=~"$model"'
TOOL: Final = f'{TARGET},server_id=~"$server_id",tool_name=~"$tool_name"'

LLM_UID: Final = "tachograph-llm-provider"
MCP_UID: Final = "tachograph-mcp-tools"

ERROR_COLORS: Final = (
    ("auth", "dark-red"),
    ("quota", "red"),
    ("server_error", "semi-dark-orange"),
    ("timeout", "yellow"),
    ("connection", "purple"),
    ("rate_limit", "blue"),
    ("invalid_request", "text"),
    ("content_filter", "light-blue"),
    ("unknown", "light-purple"),
)
"""Red where no retry helps, orange to yellow for the provider's trouble, blue for limits, grey for the caller's."""

OUTCOME_COLORS: Final = (
    ("success", "green"),
    ("error", "red"),
    ("timeout", "yellow"),
    ("rate_limited", "blue"),
    ("cancelled", "text"),
)


def row(title: str, *panels: Panel, folded: bool = False) -> PanelRow:
    return PanelRow(title, panels, folded)


def variables(*more: Variable) -> tuple[Variable, ...]:
    """Job and instance of our targets, then the dashboard's own."""
    return (
        Variable(name="job", label="Job", metric="tachograph_build_info"),
        Variable(name="instance", label="Instance", metric="tachograph_build_info", matchers='job=~"$job"'),
        *more,
    )


def most(counter: str, *by: str) -> Top:
    """The highest by what a counter grew over the time shown.

    Args:
        counter: Selector of the counter.
        by: Labels of what is ranked.
    """
    return Top(by=by, rank=f"sum by ({', '.join(by)}) (increase({counter}[$__range] @ end()))")


def marks(components: str) -> tuple[Annotation, ...]:
    """Firing alerts of these components, rate limits, restarts."""
    return (
        Annotation(
            name="Alerts firing",
            expression=f'ALERTS{{alertstate="firing",component=~"{components}",alertname!="LLMMonitorWatchdog"}}',
            title="{{alertname}}",
            text="{{severity}} {{provider}}{{server_id}} {{model}}{{tool_name}}",
            color="red",
        ),
        Annotation(
            name="Rate limited",
            expression='sum by (provider) (increase(llm_provider_errors_total{job=~"$job",'
            'instance=~"$instance",error_type="rate_limit"}[$__rate_interval])) > 0',
            title="Rate limited",
            text="{{provider}}",
            color="blue",
        ),
        Annotation(
            name="Restarts",
            expression='changes(process_start_time_seconds{job=~"$job",instance=~"$instance"}[$__rate_interval]) > 0',
            title="Restart",
            text="{{instance}}",
            color="purple",
        ),
    )


def steps(*values: tuple[float | None, str]) -> tuple[Threshold, ...]:
    """Thresholds from pairs."""
    return tuple(Threshold(value, color) for value, color in values)
