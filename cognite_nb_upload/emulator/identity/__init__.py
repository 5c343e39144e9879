"""An identity provider: what Entra ID and others are to CDF, with people who allow and deny."""
