"""Gemini: request facts, answers and chunks, usage, errors."""
