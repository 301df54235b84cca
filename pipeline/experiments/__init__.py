"""Many runs: naming, comparing, verifying and recording them."""
