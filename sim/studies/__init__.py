"""Questions that were asked once, each with its model: schedules, caches, outliers, peers."""
