"""Version 0001: rows, rollups, positions and quarantine."""

from tachograph.usage.migrations import steps

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the statements."""
    steps.run(revision, "up")


def downgrade() -> None:
    """Take them back."""
    steps.run(revision, "down")
