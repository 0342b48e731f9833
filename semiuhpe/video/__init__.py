"""Head poses on videos: sources of frames, the pipeline, tracking, smoothing, and writing."""
