"""Cohere's APIs, v1 and v2."""
