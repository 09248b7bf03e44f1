"""Anthropic: request facts, answers and chunks, usage, errors."""
