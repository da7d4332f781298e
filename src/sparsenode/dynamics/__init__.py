"""Vector fields for an ensemble of members: every tensor leads with the axis `member`."""
