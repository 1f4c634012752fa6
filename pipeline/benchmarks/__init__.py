"""What `vlp bench NAME` measures, one file a bench: ratios within one run, against a fair baseline."""
