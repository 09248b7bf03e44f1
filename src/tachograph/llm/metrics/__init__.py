"""The metrics of the LLM side: which families there are, and what a finished call adds to them."""
