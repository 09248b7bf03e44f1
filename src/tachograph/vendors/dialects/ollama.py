"""Ollama: on its own port of this machine, or its cloud."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="ollama",
    hosts=("ollama.com",),
    local_ports=(11434,),
    source="github.com/ollama/ollama/blob/main/docs/api.md; 2026-11-27",
)
