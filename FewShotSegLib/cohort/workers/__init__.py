"""Cases on Dask's workers, which need the extra packages of `fewshotseg[cohort]`."""
