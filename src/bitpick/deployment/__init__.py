"""What ships beside a build's files, and the results that come back from the device."""
