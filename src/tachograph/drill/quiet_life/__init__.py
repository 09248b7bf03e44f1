"""Shapes of real operation, run through the exported rules: who is paged, when, how often, and who should be."""
