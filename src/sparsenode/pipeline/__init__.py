"""What the workflow asks for before and between its stages: configuration, plan, catalog and cluster."""
