"""What a run looked like: the facts of it on one time line (model.py) and the page that shows them (page.py)."""
