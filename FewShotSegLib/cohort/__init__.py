"""A library's examples over many patients: one case after the other or many at once, resumable, with a report."""
