"""Head stores and scene stores."""
