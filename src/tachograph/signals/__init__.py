"""Signals: metric families and how they are kept, exposition, spans, OTLP."""
