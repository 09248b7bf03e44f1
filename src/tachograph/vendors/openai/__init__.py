"""OpenAI: request facts, answers and chunks, usage, errors."""
