"""Version 0003: runs, and what prices depend on."""

from tachograph.usage.migrations import steps

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the statements."""
    steps.run(revision, "up")


def downgrade() -> None:
    """Take them back."""
    steps.run(revision, "down")
