"""Version 0002: corrections."""

from tachograph.usage.migrations import steps

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the statements."""
    steps.run(revision, "up")


def downgrade() -> None:
    """Take them back."""
    steps.run(revision, "down")
