"""Pure statistics that several rooms use: quantiles, seasonal baselines, tests, what is unusual in a series. Numpy only."""
