"""Records: what happened, as data, without any input or output. Every room imports records; records imports no room."""

from tachograph.records.context import ENGINE_CALL, ENGINE_MCP, LABELS, labels
from tachograph.records.cost import NANO_PER_USD, UNPRICED, Cost
from tachograph.records.ids import new_id
from tachograph.records.llm_call import Attempt, LLMCall
from tachograph.records.outcomes import (
    COST_QUALITIES,
    ERROR_KINDS,
    ERROR_TYPES,
    OUTCOMES,
    TOOL_OUTCOMES,
    CostQuality,
    ErrorKind,
    ErrorType,
    Outcome,
    ToolOutcome,
    outcome_of,
)
from tachograph.records.run import RUN, Run
from tachograph.records.sink import NOWHERE, Sink
from tachograph.records.tool_call import ToolCall
from tachograph.records.usage import DETAILS, Usage

__all__ = [
    "COST_QUALITIES",
    "DETAILS",
    "ENGINE_CALL",
    "ENGINE_MCP",
    "ERROR_KINDS",
    "ERROR_TYPES",
    "LABELS",
    "NANO_PER_USD",
    "NOWHERE",
    "OUTCOMES",
    "RUN",
    "TOOL_OUTCOMES",
    "UNPRICED",
    "Attempt",
    "Cost",
    "CostQuality",
    "ErrorKind",
    "ErrorType",
    "LLMCall",
    "Outcome",
    "Run",
    "Sink",
    "ToolCall",
    "ToolOutcome",
    "Usage",
    "labels",
    "new_id",
    "outcome_of",
]
