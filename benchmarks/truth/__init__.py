"""Are the numbers right? The same calls watched by everybody, and every answer compared with what was served."""
