"""From raw datasets to stores."""
