"""What an export found out, as report.json and report.html."""
