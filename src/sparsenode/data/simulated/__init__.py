"""What simulated data sources share: solvers, published equations and networks."""
