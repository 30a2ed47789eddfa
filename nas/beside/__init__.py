"""Where users already are: TensorBoard, Optuna, Ray Tune, scikit-learn, pandas. Each file stands on its own."""
