"""The loops and the operators' jobs: the only place that imports everything."""
