"""The LLM side: providers, factory, retries, errors, pricing, and their metrics."""
