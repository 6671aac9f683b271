"""The format page: a run as one web page that answers photos in the browser."""
