"""What several tests share: files, reference numbers and small models that they make for themselves."""
