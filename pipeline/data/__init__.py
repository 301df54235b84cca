"""What comes in: data sets, their files, and how they are prepared."""
