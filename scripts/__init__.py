"""What looks after the package itself: its files, and the versions that it works with."""
