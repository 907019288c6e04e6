"""Video to poses with uncertainty: windows, features, jobs, the pipeline and the estimator."""
