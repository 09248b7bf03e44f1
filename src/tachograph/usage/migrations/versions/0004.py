"""Version 0004: the span above a call, and which key paid."""

from tachograph.usage.migrations import steps

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the statements."""
    steps.run(revision, "up")


def downgrade() -> None:
    """Take them back."""
    steps.run(revision, "down")
