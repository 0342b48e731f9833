"""Head poses on pictures with trained models: detectors, the estimator, result files, export, and the demo page."""
