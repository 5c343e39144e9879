"""Files in other stores, read where they are: buckets, containers, web servers, file systems."""
