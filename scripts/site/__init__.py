"""The pages of the site that are made from code, scripts and result files, so that none of them can go stale."""
