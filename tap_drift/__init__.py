"""Singer tap for Drift: a company's conversations, whole, into any Singer target."""
