"""Pure statistics that several rooms use: quantiles, seasonal baselines, what is unusual in a series, debounce. Numpy only."""
