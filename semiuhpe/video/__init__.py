"""Videos: where frames come from, the pipeline that poses them, who is who, smoothing, and writing."""
