"""What results were made from, and whether they stand."""
