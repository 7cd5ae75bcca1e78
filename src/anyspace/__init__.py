"""Any Gymnasium space in, any Gymnasium space out."""
